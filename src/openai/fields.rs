//! Fields of a request's object, each with a name for complaints.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Whether a value is as good as none.
pub(super) type MeansNothing = fn(&Value) -> bool;

/// Numbers that make sense.
pub(super) enum Range<T> {
    /// From the first to the second.
    From(T, T),
    /// The same without the first.
    Above(T, T),
}

/// The fields of a request.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The object that `json` is.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no JSON or no object.
    pub(super) fn parse(json: &str) -> Result<Self> {
        match serde_json::from_str(json) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Error::Usage("the request is no JSON object".into())),
            Err(error) => Err(Error::Usage(format!("the request is no JSON: {error}"))),
        }
    }

    /// The value of `name`; `None` if it is absent or null.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a value of another type.
    pub(super) fn get<'f, T: Deserialize<'f>>(&'f self, name: &str) -> Result<Option<T>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| wrong(name, format!("makes no sense: {error}"))),
        }
    }

    /// The value of `name`, which cannot be left out.
    ///
    /// # Errors
    /// As [`Fields::get`].
    pub(super) fn need<'f, T: Deserialize<'f>>(&'f self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| wrong(name, "is missing"))
    }

    /// The number called `name`, in this range.
    ///
    /// # Errors
    /// As [`Fields::get`], and for a number outside of it.
    pub(super) fn number<'f, T>(&'f self, name: &str, range: Range<T>) -> Result<Option<T>>
    where
        T: Deserialize<'f> + PartialOrd + Display,
    {
        let value: Option<T> = self.get(name)?;
        let Some(number) = &value else {
            return Ok(None);
        };
        let (is_inside, least) = match &range {
            Range::From(least, most) => (
                (least..=most).contains(&number),
                format!("at least {least}"),
            ),
            Range::Above(least, most) => {
                (number > least && number <= most, format!("above {least}"))
            }
        };
        let (Range::From(_, most) | Range::Above(_, most)) = range;
        if !is_inside {
            let what = format!("is {number}; it must be {least} and at most {most}");
            return Err(wrong(name, what));
        }
        Ok(value)
    }

    /// Refuses what would change the answer but is not there.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless each field is absent or has the value that means nothing.
    pub(super) fn refuse(&self, unsupported: &[(&str, MeansNothing)]) -> Result<()> {
        for &(name, means_nothing) in unsupported {
            let value = self.0.get(name).unwrap_or(&Value::Null);
            if !value.is_null() && !means_nothing(value) {
                return Err(wrong(name, "is not supported"));
            }
        }
        Ok(())
    }
}

/// A complaint about the field called `name`.
pub(super) fn wrong(name: impl Into<String>, what: impl Into<String>) -> Error {
    Error::Parameter {
        name: name.into(),
        what: what.into(),
    }
}
