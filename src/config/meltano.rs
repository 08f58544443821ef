//! A Meltano project around the working directory: which database Meltano keeps its jobs in, and which Meltano it is.
//!
//! Owns the order in which Meltano itself takes `database_uri`, as measured on 3.6 and 4.4: the variable in `env:` of
//! `meltano.yml`, the process's environment, `.env`, `database_uri:` of `meltano.yml`, and `meltano.db` in the system folder.
//! Nothing is executed and nothing is written.

use super::{ConfigError, Secret, text::shown};
use crate::files;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};
use yaml_rust2::{Yaml, YamlLoader};

const FILE: &str = "meltano.yml";
const DATABASE: &str = "MELTANO_DATABASE_URI";
const ROOT: &str = "MELTANO_PROJECT_ROOT";
const FOLDER: &str = "MELTANO_SYS_DIR_ROOT";

/// A project whose database is watched because nothing else was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct MeltanoProject {
    /// The folder of `meltano.yml`.
    pub root: PathBuf,
    /// Where the database's address comes from: a file of the project, or a variable.
    pub source: String,
    /// The installed Meltano, where it can be determined.
    pub version: Option<MeltanoVersion>,
    pub(super) database: Secret,
}

/// A version of Meltano, such as 3.6.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeltanoVersion {
    text: String,
    release: (u32, u32),
}

impl MeltanoVersion {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let release = (parts.next()??, parts.next()??);
        let text = text.to_owned();
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte))
            .then_some(Self { text, release })
    }

    /// Whether it writes the first heartbeat together with the start: since 3.7.
    pub fn seeds_heartbeats(&self) -> bool {
        self.release >= (3, 7)
    }
}

impl fmt::Display for MeltanoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meltano {}", self.text)
    }
}

/// The variables of the process.
#[derive(Clone, Copy)]
struct Variables<'a>(&'a [(String, String)]);

impl<'a> Variables<'a> {
    fn get(self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// The project that `MELTANO_PROJECT_ROOT` names, or whose `meltano.yml` is in `folder` or above it.
///
/// # Errors
/// A file of the project can't be read, or its address names a variable that is not set.
pub(super) fn find(
    folder: Option<&Path>,
    variables: &[(String, String)],
) -> Result<Option<MeltanoProject>, ConfigError> {
    let variables = Variables(variables);
    let root = match variables.get(ROOT) {
        Some(root) => Some(PathBuf::from(root)),
        None => folder.and_then(|folder| {
            let above = folder.ancestors().find(|folder| folder.join(FILE).is_file());
            above.map(Path::to_owned)
        }),
    };
    let Some(root) = root else { return Ok(None) };
    let project = Project::read(root, variables)?;
    let (address, source) = project.address();
    Ok(Some(MeltanoProject {
        database: Secret::new(project.complete(&address, &source)?),
        source,
        version: version(variables),
        root: project.root,
    }))
}

/// The files of a project.
struct Project<'a> {
    root: PathBuf,
    yaml: Yaml,
    dotenv: Vec<(String, String)>,
    variables: Variables<'a>,
}

impl<'a> Project<'a> {
    fn read(root: PathBuf, variables: Variables<'a>) -> Result<Self, ConfigError> {
        let path = root.join(FILE);
        let text = read(&path)?.ok_or_else(|| ConfigError::Unreadable {
            key: ROOT.to_owned(),
            path: path.clone(),
            reason: "there is no such file".to_owned(),
        })?;
        let unparsable = |reason: String| ConfigError::Unparsable {
            path: path.clone(),
            format: "YAML",
            reason,
        };
        files::refuse_bombs(&text).map_err(unparsable)?;
        let mut documents = YamlLoader::load_from_str(&text).map_err(|error| {
            let place = error.marker();
            unparsable(format!("line {}, column {}", place.line(), place.col() + 1))
        })?;
        let dotenv = root.join(".env");
        // A virtual environment may have this name; Meltano passes over a folder, too.
        let dotenv = match dotenv.is_dir() {
            true => String::new(),
            false => read(&dotenv)?.unwrap_or_default(),
        };
        Ok(Self {
            root,
            yaml: documents.drain(..).next().unwrap_or(Yaml::Null),
            dotenv: dotenv.lines().filter_map(variable).collect(),
            variables,
        })
    }

    /// The database's address as it is written, and where.
    fn address(&self) -> (String, String) {
        let text = |yaml: &Yaml| yaml.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if let Some(address) = text(&self.yaml["env"][DATABASE]) {
            return (address, format!("{DATABASE} in {FILE}"));
        }
        // A plugin's process is given the variable of an environment of the project, which Meltano itself does not heed.
        let of_environment = |address: &str| {
            let mut environments = self.yaml["environments"].as_vec().into_iter().flatten();
            environments.any(|environment| environment["env"][DATABASE].as_str() == Some(address))
        };
        if let Some(address) = self.variables.get(DATABASE).filter(|address| !of_environment(address)) {
            return (address.to_owned(), DATABASE.to_owned());
        }
        let dotenv = self.dotenv.iter().rev().find(|(name, _)| name == DATABASE);
        if let Some((_, address)) = dotenv.filter(|(_, address)| !address.is_empty()) {
            return (address.clone(), format!("{DATABASE} in .env"));
        }
        if let Some(address) = text(&self.yaml["database_uri"]) {
            return (address, format!("database_uri in {FILE}"));
        }
        (
            format!("sqlite:///${FOLDER}/meltano.db"),
            ".meltano/meltano.db".to_owned(),
        )
    }

    /// The address with its variables replaced, and a relative file taken from the project's folder.
    fn complete(&self, address: &str, source: &str) -> Result<String, ConfigError> {
        let mut complete = String::new();
        let mut rest = address;
        while let Some((before, after)) = rest.split_once('$') {
            complete.push_str(before);
            let (name, after) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
                Some(braced) => braced,
                None => after.split_at(
                    after
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(after.len()),
                ),
            };
            if name.is_empty() {
                complete.push('$');
            } else {
                let value = self.value(name).ok_or_else(|| ConfigError::Database {
                    key: source.to_owned(),
                    problem: format!("it names the variable {}, which is not set", shown(name)),
                })?;
                complete.push_str(&value);
            }
            rest = after;
        }
        complete.push_str(rest);
        Ok(match complete.split_once(":///") {
            Some((scheme, file)) if scheme.starts_with("sqlite") && !file.is_empty() && !file.starts_with('/') => {
                format!("{scheme}:///{}", self.root.join(file).display())
            }
            _ => complete,
        })
    }

    fn value(&self, name: &str) -> Option<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        match name {
            ROOT => Some(text(self.root.clone())),
            FOLDER => {
                let folder = self.variables.get(FOLDER).unwrap_or(".meltano");
                Some(text(self.root.join(folder)))
            }
            _ => {
                let of_file = self.yaml["env"][name].as_str();
                let of_dotenv = || self.dotenv.iter().rev().find(|(known, _)| known == name);
                let of_process = of_file.or_else(|| self.variables.get(name));
                of_process
                    .map(str::to_owned)
                    .or_else(|| of_dotenv().map(|(_, value)| value.clone()))
            }
        }
    }
}

/// The text of a file of the project; `None` where there is none.
fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable {
        key: "the Meltano project".to_owned(),
        path: path.to_owned(),
        reason,
    };
    match files::read_regular(path, files::MOST_BYTES) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| unreadable("it is not UTF-8".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

/// A line of `.env`: `export NAME="value"`, the word and the quotes optional.
fn variable(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?;
        inner.find(quote).map(|end| &inner[..end])
    });
    let plain = || value.find(" #").map_or(value, |end| value[..end].trim_end());
    (!name.starts_with('#')).then(|| (name.to_owned(), quoted.unwrap_or_else(plain).to_owned()))
}

/// Meltano names itself to the plugins that it starts; elsewhere the `meltano` of the search path is asked for the folder of
/// its package. It is not started: that takes a second or two.
fn version(variables: Variables<'_>) -> Option<MeltanoVersion> {
    let agent = variables.get("MELTANO_USER_AGENT");
    if let Some(version) = agent.and_then(|agent| agent.strip_prefix("Meltano/")) {
        return MeltanoVersion::parse(version);
    }
    let path = variables.get("PATH")?;
    let program = std::env::split_paths(path)
        .map(|folder| folder.join("meltano"))
        .find(|file| file.is_file())?;
    let environment = fs::canonicalize(program).ok()?.parent()?.parent()?.to_owned();
    let folders = |folder: PathBuf| {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    folders(environment.join("lib"))
        .flat_map(|python| folders(python.join("site-packages")))
        .find_map(|package| {
            let name = package.file_name()?.to_str()?.strip_prefix("meltano-")?;
            MeltanoVersion::parse(name.strip_suffix(".dist-info")?)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::select};

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn found(folder: &Path, variables: &[(&str, &str)]) -> Result<Option<MeltanoProject>, ConfigError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        find(Some(folder), &variables.iter().map(owned).collect::<Vec<_>>())
    }

    fn address(folder: &Path, variables: &[(&str, &str)]) -> (String, String) {
        let project = found(folder, variables).unwrap().unwrap();
        (project.database.expose().to_owned(), project.source)
    }

    #[test]
    fn the_strongest_source_wins_as_in_meltano() {
        let yaml = "version: 1\ndatabase_uri: sqlite:///$MELTANO_SYS_DIR_ROOT/yml.db\n";
        let with_env = "env:\n  MELTANO_DATABASE_URI: sqlite:////top.db\n";
        let dotenv = "# a comment\nexport MELTANO_DATABASE_URI=\"sqlite:////dot.db\"\n";
        let process = ("MELTANO_DATABASE_URI", "sqlite:////process.db");

        let plain = project(&[("meltano.yml", "version: 1\n")]);
        let default = format!("sqlite:///{}/.meltano/meltano.db", plain.path().display());
        assert_eq!(address(plain.path(), &[]), (default, ".meltano/meltano.db".to_owned()));

        let of_yaml = project(&[("meltano.yml", yaml)]);
        let expected = format!("sqlite:///{}/.meltano/yml.db", of_yaml.path().display());
        assert_eq!(address(of_yaml.path(), &[]).0, expected);

        let of_dotenv = project(&[("meltano.yml", yaml), (".env", dotenv)]);
        let (uri, source) = address(of_dotenv.path(), &[]);
        assert_eq!(
            (uri.as_str(), source.as_str()),
            ("sqlite:////dot.db", "MELTANO_DATABASE_URI in .env")
        );
        assert_eq!(address(of_dotenv.path(), &[process]).0, "sqlite:////process.db");

        let of_top = project(&[("meltano.yml", &format!("{yaml}{with_env}")), (".env", dotenv)]);
        assert_eq!(address(of_top.path(), &[process]).0, "sqlite:////top.db");
    }

    #[test]
    fn the_variable_of_an_environment_is_not_heeded_as_meltano_does_not() {
        let yaml = "version: 1\nenvironments:\n- name: prod\n  env:\n    MELTANO_DATABASE_URI: sqlite:////prod.db\n";
        let folder = project(&[("meltano.yml", yaml)]);
        let (uri, _) = address(folder.path(), &[("MELTANO_DATABASE_URI", "sqlite:////prod.db")]);
        assert!(uri.ends_with(".meltano/meltano.db"), "{uri}");
    }

    #[test]
    fn a_folder_in_the_place_of_dotenv_says_nothing() {
        let folder = project(&[("meltano.yml", "version: 1\n"), (".env/bin/python", "")]);
        assert!(address(folder.path(), &[]).0.ends_with(".meltano/meltano.db"));
    }

    #[test]
    fn it_is_found_from_below_and_by_its_variable() {
        let folder = project(&[("meltano.yml", "version: 1\n"), ("deep/er/file", "")]);
        let below = found(&folder.path().join("deep/er"), &[]).unwrap().unwrap();
        assert_eq!(below.root, folder.path());
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(found(elsewhere.path(), &[]).unwrap(), None);
        let named = [("MELTANO_PROJECT_ROOT", folder.path().to_str().unwrap())];
        assert_eq!(found(elsewhere.path(), &named).unwrap().unwrap().root, folder.path());
        let wrong = [("MELTANO_PROJECT_ROOT", elsewhere.path().to_str().unwrap())];
        assert!(
            found(elsewhere.path(), &wrong)
                .unwrap_err()
                .to_string()
                .contains("no such file"),
            "a named project that is not there is reported"
        );
    }

    #[test]
    fn variables_are_replaced_and_relative_files_are_the_projects() {
        let folder = project(&[
            (
                "meltano.yml",
                "version: 1\ndatabase_uri: postgresql://u:${SECRET}@$HOST/db\n",
            ),
            (".env", "SECRET='p$w'\n"),
        ]);
        assert_eq!(
            address(folder.path(), &[("HOST", "db.example")]).0,
            "postgresql://u:p$w@db.example/db"
        );
        let error = found(folder.path(), &[]).unwrap_err().to_string();
        assert!(
            error.contains("\"HOST\"") && error.contains("database_uri in meltano.yml"),
            "{error}"
        );
        assert!(!error.contains("p$w"), "{error}");
        let relative = project(&[("meltano.yml", "database_uri: sqlite:///jobs.db\n")]);
        let expected = format!("sqlite:///{}/jobs.db", relative.path().display());
        assert_eq!(address(relative.path(), &[]).0, expected);
    }

    #[test]
    fn the_version_comes_from_meltano_or_from_its_package() {
        let folder = project(&[
            ("meltano.yml", "version: 1\n"),
            ("venv/bin/meltano", ""),
            ("venv/lib/python3.11/site-packages/meltano-3.6.0.dist-info/METADATA", ""),
        ]);
        let version = |variables: &[(&str, &str)]| found(folder.path(), variables).unwrap().unwrap().version;
        assert_eq!(version(&[]), None);
        let path = folder.path().join("venv/bin");
        let old = version(&[("PATH", path.to_str().unwrap())]).unwrap();
        assert_eq!(
            (old.to_string().as_str(), old.seeds_heartbeats()),
            ("Meltano 3.6.0", false)
        );
        let new = version(&[("MELTANO_USER_AGENT", "Meltano/4.4.1")]).unwrap();
        assert_eq!(
            (new.to_string().as_str(), new.seeds_heartbeats()),
            ("Meltano 4.4.1", true)
        );
    }

    #[test]
    fn lines_of_dotenv_are_read_as_they_are_written() {
        for (line, value) in [
            ("A=b", Some("b")),
            ("A = b # why", Some("b")),
            ("export A='b # c'", Some("b # c")),
            ("A=\"b\" # why", Some("b")),
            ("A=", Some("")),
            ("#A=b", None),
            ("A", None),
        ] {
            let read = variable(line).map(|(_, value)| value);
            assert_eq!(read.as_deref(), value, "{line}");
        }
    }

    /// Pieces that matter to YAML, to `.env` and to an address.
    const PIECES: &str = "version: 1\n;env:\n;environments:\n;- name: prod\n;  env:\n;database_uri: ;  MELTANO_DATABASE_URI: ;\
        MELTANO_DATABASE_URI=;export ;sqlite:///;postgresql://u:qX7canary@h/d;$MELTANO_SYS_DIR_ROOT;${MELTANO_PROJECT_ROOT;\
        ${A};$;};\n; ;\t;\";';#;&a ;*a;<<: ;[;{;|\n;---\n;\0";

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![8 => select(PIECES.split(';').collect::<Vec<_>>()).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
        vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn whatever_a_project_says_is_an_address_or_a_mistake_without_a_password(yaml in text(), dotenv in text(), variable in text()) {
            let folder = project(&[("meltano.yml", &yaml), (".env", &dotenv)]);
            match found(folder.path(), &[(DATABASE, &variable)]) {
                Ok(project) => prop_assert!(!format!("{project:?}").contains("qX7canary"), "{project:?}"),
                Err(mistake) => prop_assert!(!mistake.to_string().contains("qX7canary"), "{mistake}"),
            }
        }
    }
}
