//! Keys and values of a node in a model file.

use super::graph::Element;
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::cell::RefCell;

/// The keys of a node; remembers which were asked for.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub fn new(value: &'a Value) -> Result<Self> {
        let map = value.as_object().ok_or_else(|| Error::invalid("it is no JSON object"))?;
        Ok(Self { map, known: RefCell::new(vec!["name", "note"]) })
    }

    fn get(&self, key: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(key);
        self.map.get(key)
    }

    fn needed(&self, key: &'static str) -> Result<&'a Value> {
        self.get(key).ok_or_else(|| Error::invalid(format!("it has no \"{key}\"")))
    }

    pub fn text(&self, key: &'static str) -> Result<&'a str> {
        let value = self.needed(key)?;
        value.as_str().ok_or_else(|| wrong(key, value, "a text"))
    }

    /// A whole number in `low..=high`.
    pub fn integer(&self, key: &'static str, low: i64, high: i64) -> Result<i64> {
        checked(key, self.needed(key)?, low, high)
    }

    /// A whole number in `low..=high`, or `otherwise` where there is none.
    pub fn integer_or(&self, key: &'static str, low: i64, high: i64, otherwise: i64) -> Result<i64> {
        self.get(key).map_or(Ok(otherwise), |value| checked(key, value, low, high))
    }

    /// The type of the values, or `otherwise` where there is none.
    pub fn element(&self, otherwise: Option<Element>) -> Result<Element> {
        let value = match (self.get("type"), otherwise) {
            (None, Some(element)) => return Ok(element),
            (Some(value), _) => value,
            (None, None) => return Err(Error::invalid("it has no \"type\"")),
        };
        match value.as_str() {
            Some("i8") => Ok(Element::I8),
            Some("i16") => Ok(Element::I16),
            _ => Err(wrong("type", value, "\"i8\" or \"i16\"")),
        }
    }

    /// Smallest and largest value, the type's own where there is no clamp.
    pub fn clamp(&self, element: Element) -> Result<(i32, i32)> {
        let (low, high) = element.range();
        let Some(value) = self.get("clamp") else { return Ok((low, high)) };
        let one = |v: &Value| v.as_i64().filter(|v| (i64::from(low)..=i64::from(high)).contains(v));
        match value.as_array().map(Vec::as_slice) {
            Some([a, b]) => match (one(a), one(b)) {
                (Some(a), Some(b)) if a <= b => Ok((a as i32, b as i32)),
                _ => Err(wrong("clamp", value, &format!("two rising numbers in {low} to {high}"))),
            },
            _ => Err(wrong("clamp", value, "a list of two numbers")),
        }
    }

    /// Numbers of levels, rows and columns, of at most `most` points.
    pub fn points(&self, key: &'static str, most: usize) -> Result<Option<[usize; 3]>> {
        self.get(key).map(|value| points(key, value, most)).transpose()
    }

    /// The nodes that are read, of the `before` ones that there are.
    pub fn sources(&self, before: usize) -> Result<Vec<usize>> {
        let value = self.needed("in")?;
        let one = |v: &Value| match v.as_u64() {
            Some(k) if k < before as u64 => Ok(k as usize),
            _ => Err(Error::invalid(format!("it reads node {v}, one of the {before} before it expected"))),
        };
        match value.as_array() {
            Some(list) if !list.is_empty() && list.len() <= super::graph::MAX_NODES => {
                list.iter().map(one).collect()
            }
            _ => Err(wrong("in", value, "a list of nodes")),
        }
    }

    /// Refuses keys that nobody asked for: they would mean something that this version does not do.
    pub fn all_known(&self) -> Result<()> {
        let known = self.known.borrow();
        match self.map.keys().find(|k| !known.contains(&k.as_str())) {
            Some(key) => Err(Error::compatibility(format!(
                "this version does not know its key \"{key}\": the model needs a newer one"
            ))),
            None => Ok(()),
        }
    }
}

/// Numbers of levels, rows and columns, of at most `most` points.
pub fn points(key: &str, value: &Value, most: usize) -> Result<[usize; 3]> {
    let one = |v: &Value| v.as_u64().filter(|v| (1..=most as u64).contains(v)).map(|v| v as usize);
    let found: Option<Vec<usize>> = value.as_array().and_then(|list| list.iter().map(one).collect());
    match found.as_deref() {
        Some(&[d, h, w]) if d.saturating_mul(h).saturating_mul(w) <= most => Ok([d, h, w]),
        _ => Err(wrong(key, value, &format!("numbers of levels, rows and columns, at most {most} points,"))),
    }
}

fn checked(key: &str, value: &Value, low: i64, high: i64) -> Result<i64> {
    value
        .as_i64()
        .filter(|v| (low..=high).contains(v))
        .ok_or_else(|| wrong(key, value, &format!("{low} to {high}")))
}

fn wrong(key: &str, value: &Value, expected: &str) -> Error {
    let mut text = value.to_string();
    if text.chars().count() > 60 {
        text = text.chars().take(60).chain(['…']).collect();
    }
    Error::invalid(format!("its \"{key}\" is {text}, {expected} expected"))
}
