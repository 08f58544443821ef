//! The overlays of deploy/kubernetes as kustomize renders them: the API's schemas, the restricted level of the Pod security
//! standards, and what they give our own binary.

use super::{Contained, documents, judge, parsed, root, said, text};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Stdio},
};

const FOLDER: &str = "deploy/kubernetes";
/// Newer than 1.29, from which on sidecars are there without asking.
const VERSION: &str = "1.37";

/// The resources of a folder with a kustomization, as YAML.
fn rendered(folder: &Path) -> String {
    let installed = crate::support::cache().join("kubectl/kubectl");
    let program = if installed.exists() {
        installed
    } else {
        "kubectl".into()
    };
    let output = Command::new(program).arg("kustomize").arg(folder).output();
    let output = output.expect("kubectl is missing: run scripts/setup-tests.sh");
    assert!(output.status.success(), "{}: {}", folder.display(), said(&output));
    // A warning is a field that the next version no longer knows.
    assert!(output.stderr.is_empty(), "{}: {}", folder.display(), said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn overlay(name: &str) -> String {
    rendered(&root().join(FOLDER).join("overlays").join(name))
}

/// An overlay of the test's own, of the base with these components and this configuration.
fn composed(components: &[&str], configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    // Kustomize takes resources by relative paths only.
    let copied = Command::new("cp")
        .arg("-R")
        .arg(root().join(FOLDER))
        .arg(folder.path())
        .status();
    assert!(copied.unwrap().success());
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("beatwarden.toml"), configuration).unwrap();
    let components: Vec<String> = components
        .iter()
        .map(|name| format!("../kubernetes/components/{name}"))
        .collect();
    let kustomization = serde_json::json!({
        "resources": ["../kubernetes/base"],
        "components": components,
        "configMapGenerator": [{"name": "beatwarden", "behavior": "merge", "files": ["beatwarden.toml"]}],
    });
    std::fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    rendered(&own)
}

fn kind(resources: &str, kind: &str) -> Value {
    parsed(resources)
        .into_iter()
        .find(|document| document["kind"] == kind)
        .unwrap_or_else(|| panic!("no {kind} in {resources}"))
}

fn of_kind(name: &str, wanted: &str) -> Value {
    kind(&overlay(name), wanted)
}

/// The ways of running it, each with the place of its container.
fn ways() -> [(&'static str, &'static str); 4] {
    [
        ("one", "/spec/template/spec/containers/0"),
        ("sidecar", "/spec/template/spec/initContainers/0"),
        ("replicas", "/spec/template/spec/containers/0"),
        ("openshift", "/spec/template/spec/containers/0"),
    ]
}

#[test]
fn the_overlays_fit_the_schemas_of_kubernetes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.yaml");
    let check = |resources: &str| {
        std::fs::write(&path, resources).unwrap();
        let mut command = judge("kubernetes-validate");
        command.args(["--strict", "-k", VERSION]).arg(&path);
        command.output().unwrap()
    };
    let all = composed(&["replicas", "openshift", "roots", "reload"], "");
    let ways = ways().map(|(name, _)| (name, overlay(name)));
    for (name, resources) in ways.into_iter().chain([("all components", all)]) {
        let output = check(&resources);
        assert!(output.status.success(), "{name}: {}", said(&output));
        let passed = said(&output).matches(" passed for resource ").count();
        assert_eq!(passed, parsed(&resources).len(), "{name}: {}", said(&output));
    }
    let wrong = overlay("sidecar").replace("runAsNonRoot:", "runAsNobody:");
    assert!(!check(&wrong).status.success(), "a misspelt key is not noticed");
}

/// Patterns and required keys by the schema of the custom resource; misspelt keys, which the API server drops in silence,
/// by its TypeScript types.
#[test]
fn the_monitor_and_the_rules_fit_the_resources_of_the_prometheus_operator() {
    let packages = crate::support::cache().join("kubernetes-models/node_modules");
    assert!(packages.exists(), "the models are missing: run scripts/setup-tests.sh");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&packages, folder.path().join("node_modules")).unwrap();
    let model = |kind: &str| format!("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/{kind}");
    let refused = |kind: &str, resource: &str| {
        let by_schema = format!(
            "import {{ {kind} }} from '{}';\nnew {kind}({resource}).validate();\n",
            model(kind)
        );
        std::fs::write(folder.path().join("schema.mjs"), by_schema).unwrap();
        let schema = Command::new("node")
            .current_dir(folder.path())
            .arg("schema.mjs")
            .output()
            .unwrap();
        let by_types = format!(
            "import {{ I{kind} }} from '{}';\nexport const resource: I{kind} = {resource};\n",
            model(kind)
        );
        std::fs::write(folder.path().join("types.ts"), by_types).unwrap();
        let types = Command::new(packages.join(".bin/tsc"))
            .current_dir(folder.path())
            .args(["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"])
            .args(["--module", "esnext", "--moduleResolution", "bundler", "types.ts"])
            .output()
            .unwrap();
        let fine = schema.status.success() && types.status.success();
        (!fine).then(|| format!("{}{}", said(&schema), said(&types)))
    };
    let monitor = of_kind("monitoring", "PodMonitor").to_string();
    let rules = of_kind("monitoring", "PrometheusRule").to_string();
    assert_eq!(refused("PodMonitor", &monitor), None);
    assert_eq!(refused("PrometheusRule", &rules), None);
    for (kind, right, wrong) in [
        ("PodMonitor", "\"interval\"", "\"intervall\""),
        ("PodMonitor", "\"15s\"", "\"15 s\""),
        ("PrometheusRule", "\"expr\"", "\"expression\""),
        ("PrometheusRule", "\"for\":\"5m\"", "\"for\":\"5 min\""),
    ] {
        let resource = if kind == "PodMonitor" { &monitor } else { &rules };
        assert!(resource.contains(right), "{right} is not there");
        assert!(
            refused(kind, &resource.replace(right, wrong)).is_some(),
            "{wrong} is not noticed"
        );
    }
}

#[test]
fn the_rules_for_kubernetes_are_the_one_file_of_rules() {
    let output = Command::new(root().join("scripts/kubernetes-rules")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        text("deploy/kubernetes/overlays/monitoring/prometheusrule.yaml"),
        "scripts/kubernetes-rules >deploy/kubernetes/overlays/monitoring/prometheusrule.yaml"
    );
    let rules = documents(&root().join("config/prometheus/beatwarden.rules.yml")).remove(0);
    let resource = of_kind("monitoring", "PrometheusRule");
    assert_eq!(resource["spec"]["groups"], rules["groups"]);
}

#[test]
fn every_pod_keeps_to_the_restricted_level_and_no_probe_follows_the_database() {
    for (name, place) in ways() {
        let deployment = of_kind(name, "Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["enableServiceLinks"], false, "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        // OpenShift refuses a number that is not one of its own choice.
        let user = pod["securityContext"]["runAsUser"].as_u64();
        assert!(user.map_or(name == "openshift", |user| user != 0), "{name}: {user:?}");
        for volume in pod["volumes"].as_array().unwrap() {
            let kinds: Vec<&String> = volume
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "name")
                .collect();
            let [kind] = kinds[..] else { panic!("{name}: {volume}") };
            let kinds = ["configMap", "secret", "emptyDir", "persistentVolumeClaim"];
            assert!(kinds.contains(&kind.as_str()), "{name}: {kind}");
        }
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod[key].is_null(), "{name}: {key}");
        }
        let containers = ["containers", "initContainers"].into_iter();
        for container in containers.flat_map(|key| pod[key].as_array().into_iter().flatten()) {
            // Just this: whatever else a container said would go before what its Pod says.
            let context = serde_json::json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], context, "{name}");
            for port in container["ports"].as_array().into_iter().flatten() {
                assert!(port["hostPort"].is_null(), "{name}");
            }
        }
        let ours = deployment.pointer(place).unwrap();
        assert_eq!(
            ours["image"],
            format!("beatwarden:{}", env!("CARGO_PKG_VERSION")),
            "{name}"
        );
        for probe in ["livenessProbe", "readinessProbe"] {
            let path = &ours[probe]["httpGet"]["path"];
            assert!(path.is_null() || path == "/-/healthy", "{name}: {probe} asks {path}");
        }
        assert_eq!(ours["livenessProbe"]["httpGet"]["port"], "metrics", "{name}");
        assert!(ours["startupProbe"].is_null(), "{name}");
        assert!(!ours["resources"]["limits"]["memory"].is_null(), "{name}");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let monitor = of_kind("monitoring", "PodMonitor");
        for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(labels[label], *value, "{name}: the PodMonitor would not find it");
        }
        assert_eq!(
            monitor["spec"]["podMetricsEndpoints"][0]["port"], ours["ports"][0]["name"],
            "{name}"
        );
    }
    let sidecar = of_kind("sidecar", "Deployment");
    let ours = &sidecar["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(ours["restartPolicy"], "Always");
    // The writer's Pod must not leave service because of us.
    assert!(ours["readinessProbe"].is_null());
    // A policy that selects the writer's Pod would cut off the writer.
    let policy = of_kind("one", "NetworkPolicy");
    let selected = &policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"];
    assert_ne!(
        sidecar["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
        *selected
    );
    assert_eq!(
        of_kind("one", "Deployment")["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
        *selected
    );
}

/// Each component changes what it is for, and nothing else.
#[test]
fn the_components_go_together_and_change_nothing_else() {
    let configuration = "# another one";
    let one = kind(&composed(&[], configuration), "Deployment");
    let all = composed(&["replicas", "openshift", "roots", "reload"], configuration);
    let mut changed = kind(&all, "Deployment");
    assert!(changed["spec"]["replicas"].as_u64().unwrap() > 1);
    for key in ["replicas", "strategy"] {
        changed["spec"][key] = one["spec"][key].clone();
    }
    let deadline = changed["spec"].as_object_mut().unwrap().remove("minReadySeconds");
    assert!(
        deadline.unwrap().as_u64().unwrap() > 60,
        "the next replica ends too soon"
    );
    let pod = changed.pointer_mut("/spec/template/spec").unwrap();
    let wanted = &one["spec"]["template"]["spec"];
    for added in ["topologySpreadConstraints", "shareProcessNamespace", "initContainers"] {
        assert!(pod.as_object_mut().unwrap().remove(added).is_some(), "{added}");
    }
    pod["securityContext"] = wanted["securityContext"].clone();
    for place in ["/volumes", "/containers/0/volumeMounts"] {
        let entries = pod.pointer_mut(place).unwrap().as_array_mut().unwrap();
        let before = entries.len();
        entries.retain(|entry| entry["name"] != "roots");
        assert_eq!(entries.len() + 1, before, "{place}");
    }
    // With `reload` a new configuration is not a new name, which would restart the Pod.
    let volume = |pod: &Value| {
        let volumes = pod["volumes"].as_array().unwrap();
        volumes
            .iter()
            .position(|volume| volume["name"] == "configuration")
            .unwrap()
    };
    let name = &wanted["volumes"][volume(wanted)]["configMap"]["name"];
    assert!(name.as_str().unwrap().starts_with("beatwarden-"), "{name}");
    let position = volume(pod);
    assert_eq!(pod["volumes"][position]["configMap"]["name"], "beatwarden");
    assert_eq!(kind(&all, "ConfigMap")["metadata"]["name"], "beatwarden");
    assert_eq!(kind(&all, "ConfigMap")["data"]["beatwarden.toml"], configuration);
    pod["volumes"][position] = wanted["volumes"][volume(wanted)].clone();
    assert_eq!(changed, one);
}

/// What a sidecar and a Pod of its own must have alike.
#[test]
fn the_sidecar_is_the_container_of_the_deployment_beside_a_writer() {
    let [one, sidecar] = [0, 1].map(|way| {
        let (name, place) = ways()[way];
        of_kind(name, "Deployment").pointer(place).unwrap().clone()
    });
    for key in [
        "image",
        "args",
        "ports",
        "livenessProbe",
        "resources",
        "securityContext",
    ] {
        assert_eq!(one[key], sidecar[key], "{key}");
    }
    let variables = sidecar["env"].as_array().unwrap();
    for variable in one["env"].as_array().unwrap() {
        assert!(variables.contains(variable), "{variable}");
    }
}

/// Every argument, variable and file that a manifest gives is understood by the binary, as the manifest's user.
#[test]
fn the_binary_accepts_what_the_manifests_give_it() {
    let configuration = of_kind("one", "ConfigMap")["data"]["beatwarden.toml"].clone();
    for (name, place) in ways() {
        let deployment = of_kind(name, "Deployment");
        let ours = deployment.pointer(place).unwrap();
        let contained = Contained::new();
        let secret = contained.file("database", "postgres://beatwarden:word@127.0.0.1:1/meltano");
        let mounted = configuration
            .as_str()
            .unwrap()
            .replace("/run/secrets/beatwarden/database", secret.to_str().unwrap());
        let mut arguments = vec!["config".to_owned()];
        if name != "sidecar" {
            let path = contained.file("beatwarden.toml", &mounted);
            arguments.extend(["--config".to_owned(), path.display().to_string()]);
        }
        let user = deployment["spec"]["template"]["spec"]["securityContext"]["runAsUser"].as_u64();
        // One of the numbers that OpenShift chooses.
        let user = user.unwrap_or(1_000_680_000);
        let mut command = contained.command(u32::try_from(user).unwrap());
        for variable in ours["env"].as_array().unwrap() {
            command.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
        }
        let output = command.args(&arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
        let shown = String::from_utf8(output.stdout).unwrap();
        for wanted in ["0.0.0.0:12328", "json", "meltano", "observe"] {
            assert!(shown.contains(wanted), "{name}: no {wanted} in {shown}");
        }
        assert!(!shown.contains("word@"), "{shown}");
        assert_eq!(ours["args"], serde_json::json!(["watch"]), "{name}");
    }
}
