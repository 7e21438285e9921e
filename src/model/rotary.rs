//! Rotary position embeddings: their settings in old and new keys, and the table of rotations.

use serde_json::{Map, Value};

use super::config::{Keys, unsupported};
use super::error::{ModelError, Result};

/// Settings of a rotary position embedding (Su et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Coordinates of each head that are rotated, from the first; even.
    pub dims: usize,
    /// Base of the frequencies: the pair i turns `theta^(-2i / dims)` radians a position.
    pub theta: f64,
    /// Stretching of low frequencies, if any.
    pub scaling: Option<Llama3Scaling>,
}

/// Llama 3.1's stretching of low frequencies (`rope_type` "llama3").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// What low frequencies are divided by.
    pub factor: f64,
    /// Wavelengths above `original_positions` over this are divided by the whole factor.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_positions` over this are kept.
    pub high_freq_factor: f64,
    /// `original_max_position_embeddings`.
    pub original_positions: f64,
}

impl Rotary {
    /// Radians that each pair turns per position, `dims / 2` of them.
    pub fn frequencies(&self) -> Vec<f64> {
        (0..self.dims / 2)
            .map(|i| {
                let plain = self.theta.powf(-2.0 * i as f64 / self.dims as f64);
                self.scaling.map_or(plain, |s| s.apply(plain))
            })
            .collect()
    }

    /// `[positions, dims / 2, 2]` of (cos, sin), for [`crate::ops::rope`].
    pub fn table(&self, positions: usize) -> Vec<f32> {
        let frequencies = self.frequencies();
        (0..positions)
            .flat_map(|p| {
                frequencies.iter().flat_map(move |f| {
                    let (sin, cos) = (p as f64 * f).sin_cos();
                    [cos as f32, sin as f32]
                })
            })
            .collect()
    }
}

impl Llama3Scaling {
    /// As `_compute_llama3_parameters` of transformers: long waves are stretched by `factor`, short
    /// ones kept, those between blended.
    fn apply(&self, frequency: f64) -> f64 {
        let turns = self.original_positions * frequency / std::f64::consts::TAU;
        if turns < self.low_freq_factor {
            frequency / self.factor
        } else if turns > self.high_freq_factor {
            frequency
        } else {
            let smooth =
                (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
            (1.0 - smooth) * frequency / self.factor + smooth * frequency
        }
    }
}

/// Reads the settings from `rope_parameters`, `rope_scaling`, `rope_theta`, `rotary_emb_base`,
/// `rotary_pct` and `partial_rotary_factor`, whichever are there. Two that contradict each other
/// are refused: implementations disagree about which one counts.
pub(super) fn read(keys: &Keys, d_head: usize) -> Result<Rotary> {
    let neox = keys.family == "gpt_neox";
    let parameters = section(keys, "rope_parameters")?;
    let old_scaling = section(keys, "rope_scaling")?;
    let inside = |map: Option<&'_ Map<String, Value>>, key: &str| match map {
        None => Ok(None),
        Some(map) => Keys {
            map,
            family: keys.family,
        }
        .number_or_none(key),
    };
    let theta_key = if neox {
        "rotary_emb_base"
    } else {
        "rope_theta"
    };
    let theta = agreed(&[
        (
            "rope_parameters.rope_theta",
            inside(parameters, "rope_theta")?,
        ),
        (
            "rope_scaling.rope_theta",
            inside(old_scaling, "rope_theta")?,
        ),
        (theta_key, keys.number_or_none(theta_key)?),
    ])?;
    let part = agreed(&[
        (
            "rope_parameters.partial_rotary_factor",
            inside(parameters, "partial_rotary_factor")?,
        ),
        (
            "rope_scaling.partial_rotary_factor",
            inside(old_scaling, "partial_rotary_factor")?,
        ),
        (
            "partial_rotary_factor",
            keys.number_or_none("partial_rotary_factor")?,
        ),
        ("rotary_pct", keys.number_or_none("rotary_pct")?),
    ])?;
    if let Some(part) = part.filter(|p| !neox && *p != 1.0) {
        return Err(unsupported(
            format!("partial_rotary_factor {part} of a {} model", keys.family),
            "1 is",
        ));
    }
    let part = part.unwrap_or(if neox { 0.25 } else { 1.0 });
    let mut scaling = None;
    for (name, map) in [
        ("rope_parameters", parameters),
        ("rope_scaling", old_scaling),
    ] {
        let Some(map) = map else { continue };
        let found = read_scaling(name, map, keys.family)?;
        if let (Some(a), Some(b)) = (scaling, found)
            && a != b
        {
            return Err(ModelError::ConfigValue {
                key: "rope_scaling".to_owned(),
                found: format!("{b:?}"),
                expected: format!("what rope_parameters says ({a:?})"),
            });
        }
        scaling = scaling.or(found);
    }
    Ok(Rotary {
        // Truncated like Python's int().
        dims: (d_head as f64 * part) as usize,
        theta: theta.unwrap_or(10_000.0),
        scaling,
    })
}

fn section<'a>(keys: &'a Keys, key: &str) -> Result<Option<&'a Map<String, Value>>> {
    match keys.get(key) {
        None => Ok(None),
        Some(Value::Object(map)) if map.values().any(Value::is_object) => Err(unsupported(
            format!("{key} per layer type"),
            "one setting for all layers is",
        )),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(ModelError::ConfigValue {
            key: key.to_owned(),
            found: other.to_string(),
            expected: "an object".to_owned(),
        }),
    }
}

/// The one value that all keys that are there give.
fn agreed(values: &[(&str, Option<f64>)]) -> Result<Option<f64>> {
    let mut found: Option<(&str, f64)> = None;
    for (key, value) in values {
        match (found, *value) {
            (Some((first, a)), Some(b)) if a != b => {
                return Err(ModelError::ConfigValue {
                    key: (*key).to_owned(),
                    found: b.to_string(),
                    expected: format!("{a} as '{first}' says"),
                });
            }
            (None, Some(value)) => found = Some((key, value)),
            _ => {}
        }
    }
    Ok(found.map(|(_, value)| value))
}

fn read_scaling(
    section: &str,
    map: &Map<String, Value>,
    family: &'static str,
) -> Result<Option<Llama3Scaling>> {
    let kind = match map.get("rope_type").or_else(|| map.get("type")) {
        None | Some(Value::Null) => "default".to_owned(),
        Some(Value::String(kind)) => kind.clone(),
        Some(other) => other.to_string(),
    };
    let keys = Keys { map, family };
    let number = |key: &str| {
        keys.number_or_none(key)?
            .ok_or_else(|| ModelError::ConfigValue {
                key: format!("{section}.{key}"),
                found: "absent".to_owned(),
                expected: "a number, which rope_type llama3 needs".to_owned(),
            })
    };
    match kind.as_str() {
        // A factor without a type is a linear scaling that somebody forgot to name.
        "default" if keys.get("factor").is_some_and(|f| f.as_f64() != Some(1.0)) => {
            Err(unsupported(
                format!("{section} with a factor and rope_type default"),
                "llama3 with a factor is",
            ))
        }
        "default" => Ok(None),
        "llama3" => {
            let scaling = Llama3Scaling {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_positions: number("original_max_position_embeddings")?,
            };
            if scaling.high_freq_factor <= scaling.low_freq_factor {
                return Err(ModelError::ConfigValue {
                    key: format!("{section}.high_freq_factor"),
                    found: scaling.high_freq_factor.to_string(),
                    expected: format!("more than low_freq_factor, {}", scaling.low_freq_factor),
                });
            }
            Ok(Some(scaling))
        }
        other => Err(unsupported(
            format!("rope_type '{other}'"),
            "default and llama3 are",
        )),
    }
}
