//! Typed fields of config.json. Knows no architecture.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// No count in a config is larger.
const LARGEST_COUNT: u64 = 1 << 31;

/// What transformers assumes where a config does not say.
const DEFAULT_THETA: f64 = 10_000.0;

/// The fields of a JSON object; every error names the field and is
/// [`Error::Damaged`] unless said otherwise.
#[derive(Clone)]
pub struct Fields<'a> {
    /// The file, as messages call it.
    pub file: String,
    map: &'a Map<String, Value>,
    /// Where the object is in the file: empty, or ends with a dot.
    prefix: String,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which must be an object, read from `file`.
    pub fn new(file: impl Into<String>, value: &'a Value) -> Result<Self> {
        let file = file.into();
        match value {
            Value::Object(map) => Ok(Self {
                file,
                map,
                prefix: String::new(),
            }),
            _ => Err(Error::damaged(file, "is not an object")),
        }
    }

    /// A count, which must be there.
    pub fn usize(&self, name: &str) -> Result<usize> {
        self.required(name, self.optional_usize(name)?)
    }

    /// A count; `None` when it is missing or null.
    pub fn optional_usize(&self, name: &str) -> Result<Option<usize>> {
        self.optional(name, "a count of at most 2^31", count)
    }

    /// A count, or `default`.
    pub fn usize_or(&self, name: &str, default: usize) -> Result<usize> {
        Ok(self.optional_usize(name)?.unwrap_or(default))
    }

    /// A count or a list of counts; empty when it is missing or null.
    pub fn usizes(&self, name: &str) -> Result<Vec<usize>> {
        let counts = |value: &Value| match value {
            Value::Array(values) => values.iter().map(count).collect(),
            value => count(value).map(|count| vec![count]),
        };
        let counts = self.optional(name, "a count or a list of counts of at most 2^31", counts)?;
        Ok(counts.unwrap_or_default())
    }

    /// A number, which must be there.
    pub fn f64(&self, name: &str) -> Result<f64> {
        self.required(name, self.optional_f64(name)?)
    }

    /// A number; `None` when it is missing or null.
    pub fn optional_f64(&self, name: &str) -> Result<Option<f64>> {
        self.optional(name, "a number", Value::as_f64)
    }

    /// A number, or `default`.
    pub fn f64_or(&self, name: &str, default: f64) -> Result<f64> {
        Ok(self.optional_f64(name)?.unwrap_or(default))
    }

    /// True or false, or `default`.
    pub fn bool_or(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self
            .optional(name, "true or false", Value::as_bool)?
            .unwrap_or(default))
    }

    /// A text, which must be there.
    pub fn str(&self, name: &str) -> Result<&'a str> {
        self.required(name, self.optional_str(name)?)
    }

    /// A text; `None` when it is missing or null.
    pub fn optional_str(&self, name: &str) -> Result<Option<&'a str>> {
        self.optional(name, "a text", Value::as_str)
    }

    /// A text, or `default`.
    pub fn str_or(&self, name: &str, default: &'a str) -> Result<&'a str> {
        Ok(self.optional_str(name)?.unwrap_or(default))
    }

    /// The fields of an object inside; `None` when it is missing or null.
    pub fn object(&self, name: &str) -> Result<Option<Self>> {
        let map = self.optional(name, "an object", Value::as_object)?;
        let (file, prefix) = (self.file.clone(), format!("{}{name}.", self.prefix));
        Ok(map.map(|map| Self { file, map, prefix }))
    }

    /// An error about the field called `name`: "must be at least 1".
    pub fn damaged(&self, name: &str, what: &str) -> Error {
        Error::damaged(
            self.file.as_str(),
            format!("field `{}{name}` {what}", self.prefix),
        )
    }

    /// A value of the field called `name` that tiefsee does not have.
    pub fn unsupported(&self, name: &str, what: &str) -> Error {
        Error::unsupported(
            self.file.as_str(),
            format!("field `{}{name}` {what}", self.prefix),
        )
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.damaged(name, "is missing"))
    }

    fn optional<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.damaged(name, &format!("is {}, not {expected}", brief(value)))),
            },
        }
    }

    /// A list of numbers to divide by.
    fn divisors(&self, name: &str) -> Result<Vec<f64>> {
        let divisor = |value: &Value| value.as_f64().filter(|&value| value > 0.0);
        let divisors = |value: &'a Value| value.as_array()?.iter().map(divisor).collect();
        let divisors = self.optional(name, "a list of numbers above 0", divisors)?;
        self.required(name, divisors)
    }

    /// A number for which `is_sensible`, or the error that it must be `what`.
    fn checked(
        &self,
        name: &str,
        what: &str,
        is_sensible: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>> {
        match self.optional_f64(name)? {
            Some(value) if !is_sensible(value) => {
                Err(self.damaged(name, &format!("is {value}, but must be {what}")))
            }
            value => Ok(value),
        }
    }
}

fn count(value: &Value) -> Option<usize> {
    value
        .as_u64()
        .filter(|&count| count <= LARGEST_COUNT)
        .map(|count| count as usize)
}

/// Enough of `value` to recognise it.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.len() > 40 => "a long text".to_owned(),
        value => value.to_string(),
    }
}

/// How positions are turned into angles.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How they are stretched beyond the length of the training.
    pub scaling: Option<RopeScaling>,
}

/// The kinds of `rope_scaling`.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// `yarn`
    Yarn(Yarn),
    /// `llama3`
    Llama3(Llama3),
    /// `divisors`: a number for each pair of columns, as GGUF files have them.
    Divisors(Vec<f64>),
}

/// Llama 3.1's scaling, under the names of config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct Llama3 {
    /// What low frequencies are divided by.
    pub factor: f64,
    /// Turns over the original length below which a frequency is low.
    pub low_freq_factor: f64,
    /// Turns above which it is high.
    pub high_freq_factor: f64,
    /// Positions the model was first trained with.
    pub original_max_position_embeddings: usize,
}

/// `YaRN` scaling, under the names of config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct Yarn {
    /// How much longer the context became.
    pub factor: f64,
    /// Rotations within the original length above which a frequency is kept.
    pub beta_fast: f64,
    /// Rotations within the original length below which a frequency is divided by `factor`.
    pub beta_slow: f64,
    /// Factor of the logarithm in the magnitude's numerator.
    pub mscale: Option<f64>,
    /// Factor of the logarithm in the magnitude's denominator.
    pub mscale_all_dim: Option<f64>,
    /// Positions the model was first trained with.
    pub original_max_position_embeddings: usize,
    /// The magnitude of cosines and sines, instead of the one that follows from `factor`.
    pub attention_factor: Option<f64>,
    /// What the magnitude is multiplied by, besides.
    pub attn_factor: Option<f64>,
}

impl Rope {
    /// Reads `rope_theta` and `rope_scaling`, or `rope_parameters` as transformers 5
    /// writes them.
    ///
    /// [`Error::Unsupported`] for a type of scaling that is not in [`RopeScaling`].
    pub fn new(config: &Fields) -> Result<Self> {
        let parameters = match config.object("rope_scaling")? {
            Some(scaling) => Some(scaling),
            None => config.object("rope_parameters")?,
        };
        let mut theta = None;
        let mut scaling = None;
        if let Some(parameters) = parameters {
            theta = read_theta(&parameters)?;
            scaling = read_scaling(&parameters, config)?;
        }
        let theta = match theta {
            Some(theta) => theta,
            None => read_theta(config)?.unwrap_or(DEFAULT_THETA),
        };
        Ok(Self { theta, scaling })
    }
}

fn read_theta(fields: &Fields) -> Result<Option<f64>> {
    fields.checked("rope_theta", "above 1", |theta| theta > 1.0)
}

fn read_scaling(parameters: &Fields, config: &Fields) -> Result<Option<RopeScaling>> {
    let name = if parameters.optional_str("rope_type")?.is_some() {
        "rope_type"
    } else {
        "type"
    };
    match parameters.optional_str(name)? {
        Some("default") => Ok(None),
        Some("yarn") => {
            let yarn = Yarn::new(parameters, config)?;
            Ok(Some(RopeScaling::Yarn(yarn)))
        }
        Some("llama3") => {
            let llama3 = Llama3::new(parameters, config)?;
            Ok(Some(RopeScaling::Llama3(llama3)))
        }
        Some("divisors") => {
            let divisors = parameters.divisors("divisors")?;
            Ok(Some(RopeScaling::Divisors(divisors)))
        }
        Some(other) => {
            let what =
                format!("is {other:?}: only \"default\", \"yarn\" and \"llama3\" are supported");
            Err(parameters.unsupported(name, &what))
        }
        None if parameters.map.contains_key("factor") => {
            Err(parameters.damaged("rope_type", "is missing, but there is a factor"))
        }
        None => match parameters.map.iter().find(|(_, value)| value.is_object()) {
            Some((name, _)) => {
                Err(parameters.unsupported(name, "is an object: all layers must turn alike"))
            }
            None => Ok(None),
        },
    }
}

/// `original_max_position_embeddings`, or else `max_position_embeddings`.
fn original_length(parameters: &Fields, config: &Fields) -> Result<usize> {
    let name = "original_max_position_embeddings";
    match parameters.optional_usize(name)? {
        Some(0) => Err(parameters.damaged(name, "is 0")),
        Some(original) => Ok(original),
        None => config.usize("max_position_embeddings"),
    }
}

impl Llama3 {
    fn new(parameters: &Fields, config: &Fields) -> Result<Self> {
        let required = |name, what, is_sensible: fn(f64) -> bool| {
            parameters.required(name, parameters.checked(name, what, is_sensible)?)
        };
        let low = required("low_freq_factor", "above 0", |value| value > 0.0)?;
        let high = required("high_freq_factor", "above 0", |value| value > 0.0)?;
        if high <= low {
            let what = format!("is {high}, but low_freq_factor is {low}, which is not less");
            return Err(parameters.damaged("high_freq_factor", &what));
        }
        Ok(Self {
            factor: required("factor", "at least 1", |factor| factor >= 1.0)?,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: original_length(parameters, config)?,
        })
    }
}

impl Yarn {
    fn new(parameters: &Fields, config: &Fields) -> Result<Self> {
        let positive = |name| parameters.checked(name, "above 0", |value| value > 0.0);
        let mscale = |name| parameters.checked(name, "at least 0", |value| value >= 0.0);
        let factor = parameters.checked("factor", "at least 1", |factor| factor >= 1.0)?;
        let beta_fast = positive("beta_fast")?.unwrap_or(32.0);
        let beta_slow = positive("beta_slow")?.unwrap_or(1.0);
        if beta_fast < beta_slow {
            let what = format!("is {beta_fast}, but beta_slow is {beta_slow}, which is more");
            return Err(parameters.damaged("beta_fast", &what));
        }
        if !parameters.bool_or("truncate", true)? {
            return Err(parameters.unsupported("truncate", "is false: only true is supported"));
        }
        Ok(Self {
            factor: parameters.required("factor", factor)?,
            beta_fast,
            beta_slow,
            mscale: mscale("mscale")?,
            mscale_all_dim: mscale("mscale_all_dim")?,
            original_max_position_embeddings: original_length(parameters, config)?,
            attention_factor: positive("attention_factor")?,
            attn_factor: positive("attn_factor")?,
        })
    }
}
