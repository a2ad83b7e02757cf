//! What a template may spend: steps, bytes and depth, in proportion to the conversation.
//!
//! The template engine charges fuel for its steps and for the strings it makes, but turns nested
//! lists into text before it charges; this measures them first. It never sees tokens.

use minijinja::Error;
use minijinja::ErrorKind;
use minijinja::State;
use minijinja::Value;
use minijinja::value::ValueKind;

/// Bytes that one unit of the engine's fuel pays for.
const BYTES_PER_FUEL: u64 = 64;
/// Fuel of a template without messages: a MiB of strings, or as many steps as take a few ms.
const BASE_FUEL: u64 = 16 << 10;
/// Fuel of each message; the longest published templates use about a tenth.
const FUEL_PER_MESSAGE: u64 = 1 << 10;
/// How often a template may copy each byte of the conversation.
const COPIES: u64 = 32;
/// Containers within containers that a template may turn into text.
const DEPTH: usize = 32;
/// What an item costs that is not a string: more than any number takes.
const ITEM: u64 = 48;

/// The fuel for a conversation of this many messages and bytes.
pub(super) fn fuel(messages: usize, bytes: usize) -> u64 {
    let for_bytes = (bytes as u64).saturating_mul(COPIES) / BYTES_PER_FUEL;
    BASE_FUEL
        .saturating_add(FUEL_PER_MESSAGE.saturating_mul(messages as u64))
        .saturating_add(for_bytes)
}

/// Pays for turning `values` into text `times` over, or fails before that is begun.
pub(super) fn charge(state: &State, values: &[Value], times: u64) -> Result<(), Error> {
    let left = state.fuel_levels().map_or(0, |(_, left)| left);
    let budget = left.saturating_mul(BYTES_PER_FUEL) / times.max(1);
    let mut unspent = budget;
    for value in values {
        measure(value, DEPTH, &mut unspent)?;
    }
    let spent = (budget - unspent).saturating_mul(times);
    state.consume_fuel(spent / BYTES_PER_FUEL)
}

/// Takes the size of a value as text from `left`.
fn measure(value: &Value, depth: usize, left: &mut u64) -> Result<(), Error> {
    let size = value.as_str().map_or(ITEM, |text| text.len() as u64);
    *left = left.checked_sub(size).ok_or(ErrorKind::OutOfFuel)?;
    let kind = value.kind();
    if !matches!(kind, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "lists are nested too deeply",
        ));
    };
    for item in value.try_iter()? {
        if kind == ValueKind::Map {
            measure(&value.get_item(&item)?, depth, left)?;
        }
        measure(&item, depth, left)?;
    }
    Ok(())
}
