//! JSON objects in which no name may appear twice, which `serde_json` would pass over
//! in silence. Knows nothing of what the names mean.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// The entries of a JSON object whose names are all different.
pub(super) struct Unique<V>(pub(super) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
    type Value = Unique<V>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Unique<V>, A::Error> {
        unique_entries(map, |_, map| map.next_value()).map(Unique)
    }
}

/// The entries of `map`, each value read by `read_value`; an error for a name that
/// appears twice. Errors in a value say whose value it is.
pub(super) fn unique_entries<'de, A: MapAccess<'de>, V>(
    mut map: A,
    read_value: impl Fn(&str, &mut A) -> Result<V, A::Error>,
) -> Result<BTreeMap<String, V>, A::Error> {
    let mut entries = BTreeMap::new();
    while let Some(name) = map.next_key::<String>()? {
        let value = read_value(&name, &mut map)
            .map_err(|error| A::Error::custom(format_args!("`{name}`: {error}")))?;
        if entries.contains_key(&name) {
            return Err(A::Error::custom(format_args!("`{name}` appears twice")));
        }
        entries.insert(name, value);
    }
    Ok(entries)
}
