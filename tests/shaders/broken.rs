//! Kernels that break one rule each, so that the rules are known to be checked.

use crate::conventions;

/// A kernel that keeps every rule.
const GOOD: &str = "\
// y = x * factor, value by value.
//
//   x  [count]
//   y  [count]
//
// One lane per value.

struct Params {
    count: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;

var<workgroup> scratch: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup.x * WORKGROUP_SIZE + lane;
    if i < params.count {
        scratch[lane] = x[i] * params.factor;
        y[i] = scratch[lane];
    }
}
";

fn complaints(wgsl: &str) -> Vec<String> {
    let module = crate::parse(wgsl).expect("a valid kernel");
    let resolved = crate::translate(wgsl, crate::TIERS[0]).expect("a valid kernel");
    [
        conventions::of_text(wgsl),
        conventions::of_header(wgsl, &module),
        conventions::of_bindings(wgsl, &module),
        conventions::of_module(&module),
        conventions::of_resources(&resolved, 8),
    ]
    .concat()
}

/// The complaints when `right` is replaced by `wrong` include `complaint`.
#[track_caller]
fn assert_noticed(right: &str, wrong: &str, complaint: &str) {
    assert!(GOOD.contains(right), "{right}");
    let found = complaints(&GOOD.replace(right, wrong)).join("; ");
    assert!(found.contains(complaint), "{wrong}: {found}");
}

#[test]
fn a_good_kernel_has_no_complaints() {
    assert_eq!(complaints(GOOD), [""; 0]);
}

#[test]
fn broken_headers() {
    assert_noticed("value by value.", "value by value", "start with a sentence");
    let row = "//   x  [count]\n";
    assert_noticed(row, "", r#"lists ["y"], bound are ["x", "y"]"#);
    assert_noticed(row, "//   x, z  [count]\n", r#"lists ["x", "y", "z"]"#);
    assert_noticed(row, "//   x  count\n", "not names and a shape");
    assert_noticed(row, "// x  [count]\n", "not names and a shape");
    assert_noticed(
        "//\n// One lane per value.\n",
        "",
        "how the work is divided",
    );
    assert_noticed("//\n", "", "no header");
}

#[test]
fn broken_parameters_and_entry_points() {
    let count = "    count: u32,";
    assert_noticed(
        count,
        "    count: u32,\n    more: vec2u,",
        "\"more\") of Params",
    );
    assert_noticed(
        count,
        "    count: u32,\n    more: i32,",
        "\"more\") of Params",
    );
    assert_noticed("fn main", "fn start", "called start");
    assert_noticed("lane", "thread", "thread: ");
    assert_noticed("workgroup_id", "global_invocation_id", "workgroup: ");
    assert_noticed(
        "override WORKGROUP_SIZE: u32",
        "const WORKGROUP_SIZE: u32",
        "no override",
    );
}

#[test]
fn broken_bindings() {
    let order = "out of order";
    assert_noticed(
        "@group(0) @binding(1)",
        "@binding(1) @group(0)",
        "as the device reads it",
    );
    assert_noticed(
        "@group(0) @binding(1)",
        "@group(1) @binding(1)",
        "as the device reads it",
    );
    assert_noticed(
        " var<storage, read_write> y",
        "\nvar<storage, read_write> y",
        "one binding a line",
    );
    assert_noticed("@binding(1)", "@binding(7)", order);
    assert_noticed("<storage, read> x", "<storage,read> x", order);
    assert_noticed("params", "sizes", order);
    // The result before what it is made of.
    let swapped = GOOD
        .replace("@binding(1)", "@binding(3)")
        .replace("@binding(2)", "@binding(1)");
    let found = complaints(&swapped.replace("@binding(3)", "@binding(2)")).join("; ");
    assert!(found.contains(order), "{found}");
}

#[test]
fn broken_budgets() {
    assert_noticed("u32 = 64", "u32 = 512", "workgroups of 512 lanes");
    assert_noticed("u32 = 64", "u32 = 96", "workgroups of 96 lanes");
    assert_noticed(
        "array<f32, WORKGROUP_SIZE>",
        "array<f32, 4097>",
        "16388 bytes",
    );
    let long = format!("{}override", "\n".repeat(150));
    assert_noticed("override", &long, "lines, 150 at most");
    let enabled = GOOD.replace("// y", "enable f16;\n// y");
    assert!(
        conventions::of_text(&enabled)
            .concat()
            .contains("a directive")
    );

    let binding = |number| {
        format!("@group(0) @binding({number}) var<storage, read_write> y{number}: array<f32>;\n")
    };
    let bindings = (3..10).map(binding).collect::<Vec<_>>().concat();
    let used = |number| format!("y{number}[i] = 0.0; ");
    let used = (3..10).map(used).collect::<Vec<_>>().concat();
    let crowded = GOOD
        .replace("override", &format!("{bindings}override"))
        .replace("        y[i]", &format!("        {used}y[i]"));
    let found = complaints(&crowded).join("; ");
    assert!(found.contains("9 storage buffers"), "{found}");
}

#[test]
fn broken_formats() {
    let good =
        "@group(1) @binding(1) var<storage, read> weight_data: array<u32>;\n\nfn weight8() {\n}\n";
    assert_eq!(conventions::of_format(good), [""; 0]);
    for (right, wrong, complaint) in [
        ("weight_data", "data", "a name of others"),
        ("weight8", "decode", "a name of others"),
        ("@group(1)", "@group(0)", "not a binding of group 1"),
    ] {
        let found = conventions::of_format(&good.replace(right, wrong)).concat();
        assert!(found.contains(complaint), "{wrong}: {found}");
    }
}
