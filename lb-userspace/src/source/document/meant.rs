//! Which field was probably meant by one that does not exist: `ports` by `prots`.
//!
//! A type tells the names of its fields to whoever deserializes it. So the value is read once
//! more, by a deserializer that notes them; only when something is odd.

use crate::source::document::unknown;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value, map};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::{iter, slice};

/// Empty fields that are looked into.
const MOST_EMPTY: usize = 8;

/// Fields that exist.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// By the path of what has them.
    names: RefCell<BTreeMap<String, &'static [&'static str]>>,
    /// Paths of fields that could say something and do not (`http:`).
    empty: RefCell<Vec<String>>,
}

impl Fields {
    /// Those of `T` wherever `value` has something, or has an empty field.
    pub(super) fn of<T: DeserializeOwned>(value: &Value) -> Self {
        let fields = Self::noted::<T>(value);
        for path in fields.empty.borrow().iter().take(MOST_EMPTY) {
            let mut filled = value.clone();
            if let Some(place) = filled.pointer_mut(&pointer(path)) {
                *place = Value::Object(Map::new());
            }
            let names = Self::noted::<T>(&filled).names.take();
            fields
                .names
                .borrow_mut()
                .extend(names.get_key_value(path).map(|(p, n)| (p.clone(), *n)));
        }
        fields
    }

    fn noted<T: DeserializeOwned>(value: &Value) -> Self {
        let fields = Self::default();
        // Where it cannot be read further, the names up to there are known.
        let _ = T::deserialize(Noting { value, path: String::new(), fields: &fields });
        fields
    }

    /// The field that is most like the one at `path`, if any is; else the same name in an empty
    /// field beside it: it was not indented.
    pub(super) fn meant_by(&self, path: &str) -> Option<String> {
        let (parent, wrong) = path.rsplit_once('.').unwrap_or(("", path));
        let names = self.names.borrow();
        let near = names.get(parent)?.iter().filter(|name| is_near(wrong, name));
        let nearest = near.min_by_key(|name| distance(name, wrong));
        nearest.map(|name| (*name).to_owned()).or_else(|| self.inside_of(parent, wrong))
    }

    fn inside_of(&self, parent: &str, name: &str) -> Option<String> {
        let (empty, names) = (self.empty.borrow(), self.names.borrow());
        let beside = |path: &&String| path.rsplit_once('.').unwrap_or(("", path)).0 == parent;
        let has = |path: &&String| names.get(*path).is_some_and(|names| names.contains(&name));
        let one = empty.iter().filter(beside).find(has)?;
        Some(format!("{}.{name}", one.rsplit('.').next().unwrap_or_default()))
    }
}

/// The JSON pointer (RFC 6901) of a path whose names are those of fields.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace(']', "").replace(['.', '['], "/"))
}

/// Whether `wrong` is spelled almost like `name`.
pub(super) fn is_near(wrong: &str, name: &str) -> bool {
    let (len, most) = (wrong.chars().count(), 1 + wrong.chars().count() / 6);
    // What is longer or shorter by more needs no closer look.
    len.abs_diff(name.chars().count()) <= most && distance(name, wrong) <= most
}

/// How many letters one has to insert, leave out, replace or swap with their neighbours, upper and
/// lower case being the same (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    strsim::osa_distance(&one.to_lowercase(), &other.to_lowercase())
}

/// A value that notes the fields of every struct that is read from it.
struct Noting<'a> {
    value: &'a Value,
    path: String,
    fields: &'a Fields,
}

impl<'de> Deserializer<'de> for Noting<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (path, fields) = (self.path, self.fields);
        match self.value {
            Value::Object(map) => {
                visitor.visit_map(Entries { rest: map.iter(), value: None, path, fields })
            }
            Value::Array(list) => {
                visitor.visit_seq(Items { rest: list.iter().enumerate(), path, fields })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.value.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.fields.names.borrow_mut().insert(self.path.clone(), names);
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() {
            self.fields.empty.borrow_mut().push(self.path);
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a> {
    rest: map::Iter<'a>,
    value: Option<(&'a str, &'a Value)>,
    path: String,
    fields: &'a Fields,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some((name, value));
        let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, value) = self.value.take().unwrap_or(("", &Value::Null));
        let path = unknown::join(&self.path, name);
        seed.deserialize(Noting { value, path, fields: self.fields })
    }
}

struct Items<'a> {
    rest: iter::Enumerate<slice::Iter<'a, Value>>,
    path: String,
    fields: &'a Fields,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((index, value)) = self.rest.next() else { return Ok(None) };
        let path = format!("{}[{index}]", self.path);
        seed.deserialize(Noting { value, path, fields: self.fields }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Pod, Service};
    use k8s_openapi::api::networking::v1::Ingress;
    use serde_json::json;

    #[test]
    fn letters_that_are_wrong_are_counted() {
        assert_eq!(distance("ports", "ports"), 0);
        assert_eq!(distance("ports", "prots"), 1);
        assert_eq!(distance("ports", "PORTS"), 0);
        assert_eq!(distance("ports", "port"), 1);
        assert_eq!(distance("externalTrafficPolicy", "exteranTrafficPolicy"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("포트", "포드"), 1);
    }

    fn meant<T: DeserializeOwned>(value: &Value, path: &str) -> Option<String> {
        Fields::of::<T>(value).meant_by(path)
    }

    #[test]
    fn the_notes_errors_are_understood() {
        let service = json!({"spec": {"prots": [], "exteranTrafficPolicy": "Local",
            "publishNotReadyAddressess": true, "ports": [{"nodeport": 1, "tagetPort": 1}]}});
        let meant = |path| meant::<Service>(&service, path);
        assert_eq!(meant("spec.prots"), Some("ports".to_owned()));
        assert_eq!(meant("spec.exteranTrafficPolicy"), Some("externalTrafficPolicy".to_owned()));
        assert_eq!(
            meant("spec.publishNotReadyAddressess"),
            Some("publishNotReadyAddresses".to_owned())
        );
        assert_eq!(meant("spec.ports[0].nodeport"), Some("nodePort".to_owned()));
        assert_eq!(meant("spec.ports[0].tagetPort"), Some("targetPort".to_owned()));
        assert_eq!(meant("sepc"), Some("spec".to_owned()));
    }

    #[test]
    fn what_is_like_nothing_is_not_understood() {
        let service = json!({"spec": {"replicas": 3}, "x": 1});
        for path in ["spec.replicas", "x", "spec.ports[0].x", ""] {
            assert_eq!(meant::<Service>(&service, path), None, "{path}");
        }
    }

    #[test]
    fn a_field_that_was_not_indented_is_looked_for_in_the_empty_one_beside_it() {
        let ingress = json!({"spec": {"rules": [{"host": "a", "http": null, "paths": []}]}});
        assert_eq!(
            meant::<Ingress>(&ingress, "spec.rules[0].paths"),
            Some("http.paths".to_owned())
        );
        let service = json!({"spec": {"clusterIP": null, "selector": null, "paths": []}});
        assert_eq!(meant::<Service>(&service, "spec.paths"), None);
    }

    #[test]
    fn optional_lists_and_maps_are_looked_into() {
        let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
            {"name": "c", "readinessProbe": {"httpGet": {"port": "http", "pth": "/"}}}]}});
        let path = "spec.containers[0].readinessProbe.httpGet.pth";
        assert_eq!(meant::<Pod>(&pod, path), Some("path".to_owned()));
    }

    #[test]
    fn a_value_of_another_type_hides_only_what_comes_behind_it() {
        let service = json!({"spec": {"clusterIP": 7, "prots": []}});
        assert_eq!(meant::<Service>(&service, "spec.prots"), Some("ports".to_owned()));
        assert_eq!(meant::<Service>(&json!(7), "spec.prots"), None);
    }
}
