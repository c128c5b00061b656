//! Values as they are written on the command line and printed: JSON, and a little more.

use super::shape::{Parameter, Shape, Target};
use iotdec_bridge::dynamic::{Library, Memory, Type, Value};
use serde_json::{Map, Number, Value as Json};

/// What a pointer argument points to, once the function has returned.
#[derive(Debug)]
pub struct Given {
    /// The parameter's number, counted from 0.
    pub parameter: usize,
    memory: Memory<u8>,
    before: Vec<u8>,
    element: Shape,
    /// Whether it was given as text.
    was_text: bool,
}

/// Puts what pointers point to where the library sees it.
#[derive(Debug)]
pub struct Giver<'a> {
    library: &'a Library,
    /// What was put there, for as long as the function runs.
    kept: Vec<Memory<u8>>,
    /// What the function may change.
    pub changeable: Vec<Given>,
}

impl<'a> Giver<'a> {
    /// For functions of this library.
    pub fn new(library: &'a Library) -> Self {
        Self {
            library,
            kept: Vec::new(),
            changeable: Vec::new(),
        }
    }

    /// The value that a word of the command line means.
    pub fn argument(
        &mut self,
        word: &str,
        number: usize,
        parameter: &Parameter,
    ) -> Result<Value, String> {
        let Shape::Pointer(target) = &parameter.shape else {
            return self.value(&json(word, &parameter.shape)?, &parameter.shape);
        };
        let json = match word.trim() {
            "NULL" | "null" => return Ok(Value::NULL),
            _ => json(word, &parameter.shape)?,
        };
        let was_text = json.is_string();
        let Some((memory, element)) = self.target(&json, target, parameter.elements)? else {
            return address(&json).map(Value::Pointer);
        };
        let value = Value::from(&memory);
        if target.is_const {
            self.kept.push(memory);
        } else {
            self.changeable.push(Given {
                parameter: number,
                before: memory.read(),
                memory,
                element,
                was_text,
            });
        }
        Ok(value)
    }

    /// What a pointer shall point to; none if it is an address.
    fn target(
        &mut self,
        json: &Json,
        target: &Target,
        least: usize,
    ) -> Result<Option<(Memory<u8>, Shape)>, String> {
        let shape = match (&target.shape, json) {
            (Err(_), Json::String(text)) if address(json).is_ok() && !text.is_empty() => {
                return Ok(None);
            }
            (Err(why), _) => return Err(format!("it can be NULL only, for it points to {why}")),
            (Ok(shape), _) => shape,
        };
        let kind = shape.kind();
        let mut bytes = match json {
            Json::String(text) if target.is_text => {
                let mut bytes = text.clone().into_bytes();
                // An array without room for it has no end, as in C.
                if bytes.len() != least {
                    bytes.push(0);
                }
                bytes
            }
            Json::Array(elements) if !matches!(shape, Shape::Struct(_)) || is_nested(elements) => {
                let mut bytes = Vec::new();
                for element in elements {
                    bytes.extend(self.value(element, shape)?.to_bytes(&kind)?);
                }
                bytes
            }
            one => self.value(one, shape)?.to_bytes(&kind)?,
        };
        let count = bytes.len() / kind.size().max(1);
        if least > 0 && count > least {
            return Err(format!("{count} elements for an array of {least}"));
        }
        bytes.resize(bytes.len().max(least.saturating_mul(kind.size())), 0);
        let memory = self.library.share(&bytes);
        let memory = memory.map_err(|error| error.to_string())?;
        Ok(Some((memory, shape.clone())))
    }

    fn value(&mut self, json: &Json, shape: &Shape) -> Result<Value, String> {
        let unlike = || format!("{json} where {} is wanted", wanted(shape));
        Ok(match (shape, json) {
            (Shape::Bool, Json::Bool(value)) => (*value).into(),
            (Shape::Float(_), Json::Number(number)) => {
                Value::Float(number.as_f64().ok_or_else(unlike)?)
            }
            (Shape::Float(_), Json::String(text)) => {
                Value::Float(text.parse().map_err(|_| unlike())?)
            }
            (Shape::Enum(_, values), Json::String(name)) if values.contains_key(name) => {
                Value::Integer(values[name])
            }
            (Shape::Char, Json::String(text)) if text.len() == 1 => {
                Value::Integer(text.as_bytes()[0].into())
            }
            (
                Shape::Bool | Shape::Char | Shape::Integer(_) | Shape::Enum(..),
                Json::Number(_) | Json::String(_),
            ) => Value::Integer(integer(json).ok_or_else(unlike)?),
            (Shape::Struct(fields), Json::Array(values)) if values.len() == fields.len() => {
                let pairs = fields.iter().zip(values);
                let values = pairs.map(|((_, field), value)| self.value(value, field));
                Value::List(values.collect::<Result<_, _>>()?)
            }
            (Shape::Struct(fields), Json::Object(values)) => {
                let known = |name: &String| fields.iter().any(|field| field.0 == *name);
                if let Some(name) = values.keys().find(|name| !known(name)) {
                    return Err(format!("the struct has no field {name}"));
                }
                let values = fields.iter().map(|(name, field)| match values.get(name) {
                    Some(value) => {
                        let value = self.value(value, field);
                        value.map_err(|why| format!("{name}: {why}"))
                    }
                    None => Ok(zero(&field.kind())),
                });
                Value::List(values.collect::<Result<_, _>>()?)
            }
            (Shape::Array(element, count), _) => {
                let mut values = match json {
                    Json::Array(values) => {
                        let values = values.iter().map(|value| self.value(value, element));
                        values.collect::<Result<Vec<_>, _>>()?
                    }
                    Json::String(text) if element.kind().size() == 1 => {
                        text.bytes().map(Value::from).collect()
                    }
                    _ => return Err(unlike()),
                };
                if values.len() > *count {
                    return Err(format!("{} elements for {count}", values.len()));
                }
                values.resize(*count, zero(&element.kind()));
                Value::List(values)
            }
            (Shape::Pointer(_), Json::Null) => Value::NULL,
            (Shape::Pointer(target), _) => match self.target(json, target, 0)? {
                Some((memory, _)) => {
                    let value = Value::from(&memory);
                    self.kept.push(memory);
                    value
                }
                None => Value::Pointer(address(json)?),
            },
            _ => return Err(unlike()),
        })
    }
}

impl Given {
    /// Whether it is not any more what it was.
    pub fn has_changed(&self) -> bool {
        self.memory.read() != self.before
    }

    /// What is there now.
    pub fn json(&self, library: &Library) -> Json {
        let bytes = self.memory.read();
        if (self.was_text || self.element == Shape::Char)
            && let Some(text) = text(&bytes)
        {
            return text;
        }
        let kind = self.element.kind();
        let elements = bytes.chunks_exact(kind.size());
        let elements = elements.filter_map(|bytes| Value::from_bytes(&kind, bytes));
        Json::Array(
            elements
                .map(|value| print(&value, &self.element, library))
                .collect(),
        )
    }
}

/// A word as JSON, as its type suggests.
fn json(word: &str, shape: &Shape) -> Result<Json, String> {
    let text = word.trim();
    let parsed = repeated(text).or_else(|| serde_json::from_str(text).ok());
    match shape {
        Shape::Pointer(target) if target.is_text => {
            let is_char = target.shape == Ok(Shape::Char);
            Ok(match parsed {
                Some(Json::String(text)) => Json::String(text),
                Some(array @ Json::Array(_)) if !is_char || repeated(text).is_some() => array,
                _ => Json::String(word.to_owned()),
            })
        }
        Shape::Struct(_) | Shape::Array(..) => parsed.ok_or_else(|| format!("'{word}' is no JSON")),
        Shape::Pointer(target) if target.shape.is_ok() => {
            parsed.ok_or_else(|| format!("'{word}' is no JSON"))
        }
        // 0x1f, 'c', names.
        _ => Ok(match parsed {
            Some(json @ (Json::Number(_) | Json::Bool(_) | Json::String(_))) => json,
            _ => letter(text).map_or_else(|| text.into(), Json::from),
        }),
    }
}

/// The number of a letter between apostrophes.
fn letter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [b'\'', letter, b'\''] => Some(*letter),
        _ => None,
    }
}

/// `[VALUE; COUNT]`, as in Rust.
fn repeated(text: &str) -> Option<Json> {
    const MOST: usize = 1 << 24;
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let (value, count) = inner.rsplit_once(';')?;
    let count = count.trim().parse().ok().filter(|count| *count <= MOST)?;
    let value: Json = serde_json::from_str(value).ok()?;
    Some(Json::Array(vec![value; count]))
}

/// Whether these are structs, and not the fields of one.
fn is_nested(elements: &[Json]) -> bool {
    let is_struct = |json: &Json| json.is_object() || json.is_array();
    elements.iter().all(is_struct)
}

fn integer(json: &Json) -> Option<i128> {
    match json {
        Json::Number(number) => {
            let unsigned = number.as_u64().map(i128::from);
            unsigned.or_else(|| number.as_i64().map(i128::from))
        }
        Json::String(text) => {
            let (sign, digits) = match text.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, &text[..]),
            };
            let hexadecimal = digits
                .strip_prefix("0x")
                .or_else(|| digits.strip_prefix("0X"));
            let value = match hexadecimal {
                Some(digits) => u64::from_str_radix(digits, 16).ok()?,
                None => digits.parse().ok()?,
            };
            Some(sign * i128::from(value))
        }
        _ => None,
    }
}

fn address(json: &Json) -> Result<u64, String> {
    let value = integer(json).and_then(|value| u64::try_from(value).ok());
    value.ok_or_else(|| format!("{json} is no address"))
}

fn zero(kind: &Type) -> Value {
    Value::from_bytes(kind, &vec![0; kind.size()]).expect("enough bytes")
}

fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Void => "nothing".into(),
        Shape::Bool => "true or false".into(),
        Shape::Char => "a letter or its number".into(),
        Shape::Integer(_) => "an integer".into(),
        Shape::Enum(_, values) if values.len() <= 8 => {
            let names: Vec<_> = values.keys().map(String::as_str).collect();
            format!("a number or one of {}", names.join(", "))
        }
        Shape::Enum(..) => "a number or a name of the enumeration".into(),
        Shape::Float(_) => "a number".into(),
        Shape::Struct(fields) => {
            let names: Vec<_> = fields.iter().map(|field| &field.0[..]).collect();
            format!("an object with {}", names.join(", "))
        }
        Shape::Array(_, count) => format!("an array of {count}"),
        Shape::Pointer(_) => "null or what it points to".into(),
    }
}

/// Text up to its end.
fn text(bytes: &[u8]) -> Option<Json> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]);
    text.ok().map(|text| Json::String(text.to_owned()))
}

/// A value as JSON. Addresses are text, but those of strings are the strings.
pub fn print(value: &Value, shape: &Shape, library: &Library) -> Json {
    match (value, shape) {
        (Value::Void, _) => Json::Null,
        (Value::Integer(value), Shape::Bool) => Json::Bool(*value != 0),
        (Value::Integer(value), _) => match (u64::try_from(*value), i64::try_from(*value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => value.to_string().into(),
        },
        (Value::Float(value), _) => {
            // The shortest number that means the same.
            let short = match shape {
                Shape::Float(Type::F32) => (*value as f32).to_string().parse().unwrap_or(*value),
                _ => *value,
            };
            Number::from_f64(short).map_or_else(|| short.to_string().into(), Json::Number)
        }
        (Value::Pointer(0), _) => Json::Null,
        (Value::Pointer(address), shape) => {
            let is_string = matches!(shape, Shape::Pointer(to) if to.shape == Ok(Shape::Char));
            let string = is_string
                .then(|| library.read_string(*address).ok())
                .flatten();
            match string {
                Some(string) => string.to_string_lossy().into_owned().into(),
                None => format!("{address:#x}").into(),
            }
        }
        (Value::List(values), Shape::Struct(fields)) => {
            let fields = fields.iter().zip(values);
            let fields =
                fields.map(|((name, field), value)| (name.clone(), print(value, field, library)));
            Json::Object(fields.collect::<Map<_, _>>())
        }
        (Value::List(values), Shape::Array(element, _)) => {
            let letters = values.iter().map(|value| match (&**element, value) {
                (Shape::Char, Value::Integer(letter)) => u8::try_from(*letter).ok(),
                _ => None,
            });
            let letters: Option<Vec<_>> = letters.collect();
            if let Some(text) = letters.and_then(|letters| text(&letters)) {
                return text;
            }
            let values = values.iter();
            Json::Array(values.map(|value| print(value, element, library)).collect())
        }
        (Value::List(_), _) => Json::Null,
    }
}
