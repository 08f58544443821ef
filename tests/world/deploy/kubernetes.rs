//! The manifests of deploy/kubernetes: the API's schemas, the restricted level of the Pod security standards, and what they
//! tell our own binary.

use super::{Contained, documents, judge, root, said, text};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FOLDER: &str = "deploy/kubernetes";
/// Newer than 1.29, from which on sidecars are there without asking.
const VERSION: &str = "1.37";

fn manifest(name: &str) -> PathBuf {
    root().join(FOLDER).join(name)
}

fn of_kind(name: &str, kind: &str) -> Value {
    documents(&manifest(name))
        .into_iter()
        .find(|document| document["kind"] == kind)
        .unwrap_or_else(|| panic!("{name} has no {kind}"))
}

/// The three ways of running it, each with the place of its container.
fn ways() -> [(&'static str, &'static str); 3] {
    [
        ("deployment.yaml", "/spec/template/spec/containers/0"),
        ("sidecar.yaml", "/spec/template/spec/initContainers/0"),
        ("replicas.yaml", "/spec/template/spec/containers/0"),
    ]
}

#[test]
fn the_manifests_fit_the_schemas_of_kubernetes() {
    let check = |path: &Path| {
        let mut command = judge("kubernetes-validate");
        command.args(["--strict", "-k", VERSION]).arg(path);
        command.output().unwrap()
    };
    for name in ["deployment.yaml", "sidecar.yaml", "replicas.yaml", "networkpolicy.yaml"] {
        let output = check(&manifest(name));
        assert!(output.status.success(), "{name}: {}", said(&output));
        let passed = said(&output).matches(" passed for resource ").count();
        assert_eq!(passed, documents(&manifest(name)).len(), "{name}: {}", said(&output));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.yaml");
    let wrong = text("deploy/kubernetes/sidecar.yaml").replace("runAsNonRoot:", "runAsNobody:");
    std::fs::write(&path, wrong).unwrap();
    assert!(!check(&path).status.success(), "a misspelt key is not noticed");
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
    let monitor = of_kind("podmonitor.yaml", "PodMonitor").to_string();
    let rules = of_kind("prometheusrule.yaml", "PrometheusRule").to_string();
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
        text("deploy/kubernetes/prometheusrule.yaml"),
        "scripts/kubernetes-rules >deploy/kubernetes/prometheusrule.yaml"
    );
    let rules = documents(&root().join("config/prometheus/beatwarden.rules.yml")).remove(0);
    let resource = of_kind("prometheusrule.yaml", "PrometheusRule");
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
        assert_ne!(pod["securityContext"]["runAsUser"], 0, "{name}");
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
        let monitor = of_kind("podmonitor.yaml", "PodMonitor");
        for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(labels[label], *value, "{name}: the PodMonitor would not find it");
        }
        assert_eq!(
            monitor["spec"]["podMetricsEndpoints"][0]["port"], ours["ports"][0]["name"],
            "{name}"
        );
    }
    let sidecar = of_kind("sidecar.yaml", "Deployment");
    let ours = &sidecar["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(ours["restartPolicy"], "Always");
    // The writer's Pod must not leave service because of us.
    assert!(ours["readinessProbe"].is_null());
    // A policy that selects the writer's Pod would cut off the writer.
    let policy = of_kind("networkpolicy.yaml", "NetworkPolicy");
    let selected = &policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"];
    assert_ne!(
        sidecar["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
        *selected
    );
    assert_eq!(
        of_kind("deployment.yaml", "Deployment")["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
        *selected
    );
}

/// One replica and several are the same but for what several need.
#[test]
fn several_replicas_differ_from_one_in_what_several_need() {
    let one = of_kind("deployment.yaml", "Deployment");
    let mut several = of_kind("replicas.yaml", "Deployment");
    assert!(several["spec"]["replicas"].as_u64().unwrap() > 1);
    let spread = several["spec"]["template"]["spec"]
        .as_object_mut()
        .unwrap()
        .remove("topologySpreadConstraints");
    assert!(spread.is_some());
    for key in ["replicas", "strategy"] {
        several["spec"][key] = one["spec"][key].clone();
    }
    assert_eq!(several, one);
}

/// Every argument, variable and file that a manifest gives is understood by the binary, as the manifest's user.
#[test]
fn the_binary_accepts_what_the_manifests_give_it() {
    let configuration = of_kind("deployment.yaml", "ConfigMap")["data"]["beatwarden.toml"].clone();
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
        if name != "sidecar.yaml" {
            let path = contained.file("beatwarden.toml", &mounted);
            arguments.extend(["--config".to_owned(), path.display().to_string()]);
        }
        let user = deployment["spec"]["template"]["spec"]["securityContext"]["runAsUser"].as_u64();
        let mut command = contained.command(u32::try_from(user.unwrap()).unwrap());
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
