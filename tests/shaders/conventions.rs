//! The rules for kernels, each a function from a kernel to what it does wrong.

use naga::{AddressSpace, Binding, BuiltIn, Module, ScalarKind, TypeInner};

/// Lines over which a kernel is probably two.
const MOST_LINES: usize = 150;
/// What WebGPU promises of every device.
const MOST_WORKGROUP_BYTES: u32 = 16 << 10;
const MOST_LANES: u32 = 256;

/// Where a built-in comes in, by name.
const BUILTINS: [(BuiltIn, &str); 4] = [
    (BuiltIn::WorkGroupId, "workgroup"),
    (BuiltIn::NumWorkGroups, "workgroups"),
    (BuiltIn::SubgroupId, "subgroup"),
    (BuiltIn::LocalInvocationIndex, "lane"),
];

/// Size, directives, and one binding a line.
pub(crate) fn of_text(wgsl: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if wgsl.lines().count() > MOST_LINES {
        complaints.push(format!(
            "{} lines, {MOST_LINES} at most",
            wgsl.lines().count()
        ));
    }
    for line in wgsl.lines() {
        let directive = ["enable ", "requires ", "diagnostic"]
            .iter()
            .any(|word| line.starts_with(word));
        let bindings = line.matches("@binding(").count();
        if directive {
            complaints.push(format!("a directive: {line}"));
        }
        if bindings > 1 || bindings == 1 && !line.ends_with(';') {
            complaints.push(format!("not one binding a line: {line}"));
        }
    }
    complaints
}

/// A sentence, a table of the tensors with their shapes, and how the work is divided.
pub(crate) fn of_header(wgsl: &str, module: &Module) -> Vec<String> {
    let header = wgsl.lines().map_while(|line| line.strip_prefix("//"));
    let header: Vec<_> = header.collect();
    let paragraphs: Vec<&[&str]> = header.split(|line| line.is_empty()).collect();
    let [sentence, table, division @ ..] = paragraphs.as_slice() else {
        return vec!["no header of a sentence and a table".into()];
    };
    let mut complaints = Vec::new();
    if !sentence.last().is_some_and(|line| line.ends_with('.')) {
        complaints.push("the header does not start with a sentence".into());
    }
    if division.is_empty() {
        complaints.push("the header does not say how the work is divided".into());
    }
    let mut listed = Vec::new();
    for line in *table {
        let row = line
            .strip_prefix("   ")
            .and_then(|row| row.split_once("  "));
        match row {
            Some((names, shape)) if is_shape(shape.trim()) => listed.extend(names.split(", ")),
            _ => complaints.push(format!("not names and a shape: {line}")),
        }
    }
    let mut bound: Vec<_> = globals_of(module, 0)
        .filter(|&name| name != "params")
        .collect();
    if globals_of(module, 1).next().is_some() {
        bound.push("weight");
    }
    listed.sort_unstable();
    bound.sort_unstable();
    if listed != bound {
        complaints.push(format!("the header lists {listed:?}, bound are {bound:?}"));
    }
    complaints
}

fn is_shape(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']') && text.len() > 2
}

fn globals_of(module: &Module, group: u32) -> impl Iterator<Item = &str> {
    let bound = module.global_variables.iter().map(|(_, global)| global);
    bound
        .filter(move |global| global.binding.is_some_and(|binding| binding.group == group))
        .map(|global| global.name.as_deref().unwrap_or_default())
}

/// `params` first, then what is read, then what is written, numbered without gaps.
pub(crate) fn of_bindings(wgsl: &str, module: &Module) -> Vec<String> {
    let mut complaints = Vec::new();
    let (mut next, mut written) = (0, false);
    for line in wgsl.lines().filter(|line| line.contains("@binding(")) {
        let parts = line
            .strip_prefix("@group(0) @binding(")
            .and_then(|rest| rest.split_once(") var<"))
            .and_then(|(number, rest)| Some((number.parse::<u32>().ok()?, rest.split_once("> ")?)));
        let Some((number, (kind, name))) = parts else {
            complaints.push(format!(
                "not a binding of group 0 as the device reads it: {line}"
            ));
            continue;
        };
        let right = match kind {
            "uniform" => number == 0 && name == "params: Params;",
            "storage, read" => number == next && !written,
            "storage, read_write" => number == next,
            _ => false,
        };
        if !right {
            complaints.push(format!(
                "a binding of the wrong kind or out of order: {line}"
            ));
        }
        next = next.max(number + 1);
        written |= kind == "storage, read_write";
    }
    let lines = wgsl
        .lines()
        .filter(|line| line.starts_with("@group(0)"))
        .count();
    let bound = globals_of(module, 0).count();
    if lines != bound {
        complaints.push(format!("{bound} bindings on {lines} lines"));
    }
    complaints
}

/// Parameters, the entry point and its built-ins.
pub(crate) fn of_module(module: &Module) -> Vec<String> {
    let mut complaints = Vec::new();
    for (_, ty) in module
        .types
        .iter()
        .filter(|(_, ty)| ty.name.as_deref() == Some("Params"))
    {
        let TypeInner::Struct { members, .. } = &ty.inner else {
            complaints.push("Params is no struct".into());
            continue;
        };
        // With such scalars only, Rust and WGSL lay the struct out alike.
        for member in members {
            let scalar = matches!(
                module.types[member.ty].inner,
                TypeInner::Scalar(scalar)
                    if scalar.width == 4 && matches!(scalar.kind, ScalarKind::Uint | ScalarKind::Float)
            );
            if !scalar {
                complaints.push(format!(
                    "{:?} of Params is neither u32 nor f32",
                    member.name
                ));
            }
        }
    }
    let [entry] = module.entry_points.as_slice() else {
        complaints.push(format!("{} entry points", module.entry_points.len()));
        return complaints;
    };
    if entry.name != "main" {
        complaints.push(format!("the entry point is called {}", entry.name));
    }
    for argument in &entry.function.arguments {
        let name = argument.name.as_deref().unwrap_or_default();
        let known = BUILTINS.iter().any(|(builtin, called)| {
            argument.binding == Some(Binding::BuiltIn(*builtin)) && *called == name
        });
        if !known {
            complaints.push(format!("{name}: {:?}", argument.binding));
        }
    }
    if !module
        .overrides
        .iter()
        .any(|(_, value)| value.name.as_deref() == Some("WORKGROUP_SIZE"))
    {
        complaints.push("no override of WORKGROUP_SIZE".into());
    }
    complaints
}

/// What a kernel with its overrides resolved asks of the device.
pub(crate) fn of_resources(module: &Module, most_storage_buffers: usize) -> Vec<String> {
    let mut complaints = Vec::new();
    let globals = || module.global_variables.iter().map(|(_, global)| global);
    let storage = globals()
        .filter(|global| matches!(global.space, AddressSpace::Storage { .. }))
        .count();
    if storage > most_storage_buffers {
        complaints.push(format!(
            "{storage} storage buffers, {most_storage_buffers} at most"
        ));
    }
    let workgroup = globals().filter(|global| global.space == AddressSpace::WorkGroup);
    let bytes: u32 = workgroup
        .map(|global| module.types[global.ty].inner.size(module.to_ctx()))
        .sum();
    if bytes > MOST_WORKGROUP_BYTES {
        complaints.push(format!(
            "{bytes} bytes of workgroup memory, {MOST_WORKGROUP_BYTES} at most"
        ));
    }
    for entry in &module.entry_points {
        let lanes: u32 = entry.workgroup_size.iter().product();
        if lanes > MOST_LANES || !lanes.is_power_of_two() {
            complaints.push(format!("workgroups of {lanes} lanes"));
        }
    }
    complaints
}

/// Formats share a namespace with libraries and kernels: all they declare starts with `weight`.
pub(crate) fn of_format(wgsl: &str) -> Vec<String> {
    let mut complaints = of_text(wgsl);
    for line in wgsl.lines() {
        let declared = ["fn ", "const ", "override ", "alias ", "struct "]
            .iter()
            .find_map(|word| line.strip_prefix(word))
            .or_else(|| {
                line.starts_with('@')
                    .then(|| line.split_once("> ").map(|(_, name)| name))?
            });
        if declared.is_some_and(|name| !name.starts_with("weight")) {
            complaints.push(format!("a name of others: {line}"));
        }
        if line.starts_with('@') && !line.starts_with("@group(1) @binding(") {
            complaints.push(format!("not a binding of group 1: {line}"));
        }
    }
    complaints
}

/// So do cache types, which bind nothing: all they declare starts with `cache`.
pub(crate) fn of_cache(wgsl: &str) -> Vec<String> {
    let mut complaints = of_text(wgsl);
    for line in wgsl.lines() {
        let declared = ["fn ", "const ", "override ", "alias ", "struct "]
            .iter()
            .find_map(|word| line.strip_prefix(word));
        if declared.is_some_and(|name| !name.to_lowercase().starts_with("cache")) {
            complaints.push(format!("a name of others: {line}"));
        }
        if line.starts_with('@') {
            complaints.push(format!("a binding: {line}"));
        }
    }
    complaints
}
