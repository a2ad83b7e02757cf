//! `tiefsee doctor` as a program: what it prints, and how it exits.

mod common;
#[path = "common/program.rs"]
mod program;

use tiefsee::formats;

use program::{json, text, tiefsee};

#[test]
fn doctor_tests_every_kernel_in_every_format() {
    let report = json(&tiefsee(&["doctor", "--json"]));
    assert_eq!(report["passed"], true, "{report:#}");
    let adapters = report["adapters"].as_array().expect("adapters");
    let tested: Vec<_> = adapters
        .iter()
        .filter(|adapter| adapter["checks"].is_array())
        .collect();
    assert!(!tested.is_empty(), "{report:#}");
    for adapter in tested {
        assert_eq!(adapter["disabled"], serde_json::json!([]));
        let checks = adapter["checks"].as_array().expect("checks");
        assert!(
            checks.iter().all(|check| check["passed"] == true),
            "{checks:#?}"
        );
        let kernels_with = |format: &str| -> Vec<_> {
            let of_format = checks.iter().filter(|check| check["format"] == format);
            of_format.map(|check| check["kernel"].clone()).collect()
        };
        // Some names are those of cache types, too; this one is not.
        let weighted = kernels_with("q4_0");
        // The product of one token is checked twice: as it is, and of normalised rows.
        assert_eq!(weighted.len(), 14);
        for &format in formats::ALL {
            let kernels = kernels_with(format.name);
            let is_product = |kernel: &&serde_json::Value| {
                matches!(
                    kernel.as_str(),
                    Some("matmul_heads" | "matmul_heads_blocked")
                )
            };
            let products = kernels.iter().filter(is_product).count();
            // Where a device binds too few buffers for `absorb_query`, the product that stands in makes one check more.
            let checked = |kernel: &serde_json::Value| {
                kernels.contains(kernel) || kernel == "absorb_query" && products > 2
            };
            assert!(
                weighted.iter().all(checked) && kernels.len() >= weighted.len(),
                "{}: {kernels:?}",
                format.name
            );
        }
        assert!(
            adapter["limits"]["storage_binding_bytes"]
                .as_u64()
                .expect("a limit")
                >= 128 << 20
        );
    }
    assert!(report["folders"].is_object());
}

#[test]
fn doctor_prints_a_table() {
    let report = text(&tiefsee(&["doctor"]));
    let matmul = report
        .lines()
        .find(|line| line.trim_start().starts_with("matmul "));
    let matmul = matmul.expect("a line");
    let columns: Vec<&str> = matmul.split_whitespace().collect();
    let formats = formats::ALL.len().to_string();
    assert_eq!(
        (columns[1], columns[4]),
        (formats.as_str(), "ok"),
        "{matmul}"
    );
    assert!(report.contains("0: ") && report.contains("MiB"), "{report}");
}

#[test]
fn a_device_that_is_not_there_is_no_adapter() {
    for command in ["doctor", "bench"] {
        let output = tiefsee(&[command, "--device", "no such device"]);
        assert_eq!(output.status.code(), Some(5), "{command}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("no such device") && errors.contains("0: "),
            "{errors}"
        );
    }
}
