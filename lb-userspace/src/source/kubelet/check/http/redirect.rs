//! Where a redirect leads: Go's `net/http`, as far as a probe goes. Pure.

use crate::source::kubelet::probe::{HttpGet, Place};
use crate::source::kubelet::read::request_path;
use anyhow::{Context as _, Result, bail};
use hyper::header::{self, HeaderMap};
use hyper::{StatusCode, Uri};

/// What is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Over TLS.
    pub(super) tls: bool,
    /// From whom.
    pub(super) place: Place,
    /// Path and query.
    pub(super) path: String,
    /// The `Host` that was written, if it still holds.
    host: Option<String>,
}

impl Target {
    /// What a probe asks first.
    pub(super) fn of(get: &HttpGet) -> Self {
        let mut hosts = get.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = hosts.next().map(|(_, value)| value.clone()).filter(|host| !host.is_empty());
        Self { tls: get.tls, place: get.place.clone(), path: get.path.clone(), host }
    }

    /// The `Host` header.
    pub(super) fn host_header(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.place.to_string())
    }

    /// Where an answer leads; `None`: nowhere else.
    pub(super) fn next(&self, status: StatusCode, headers: &HeaderMap) -> Result<Option<Self>> {
        let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = headers.get(header::LOCATION).filter(|_| leads) else {
            return Ok(None);
        };
        let location = location.to_str().context("a redirect leads to what is no text")?;
        self.resolved(location)
            .with_context(|| format!("a redirect leads to {location:?}"))
            .map(Some)
    }

    /// A written `Host` holds for what is at the same place (golang/go issue 22233).
    fn resolved(&self, location: &str) -> Result<Self> {
        if location.starts_with("//") {
            let scheme = if self.tls { "https" } else { "http" };
            return Self::absolute(&format!("{scheme}:{location}"));
        }
        let head = location.split(['/', '?', '#']).next().unwrap_or_default();
        if head.contains(':') {
            return Self::absolute(location);
        }
        let own = self.path.split('?').next().unwrap_or_default();
        let path = match location.chars().next() {
            None | Some('#') => self.path.clone(),
            Some('/') => location.to_owned(),
            Some('?') => format!("{own}{location}"),
            Some(_) => {
                let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{folder}/{location}")
            }
        };
        Ok(Self { path: request_path(&path), ..self.clone() })
    }

    fn absolute(location: &str) -> Result<Self> {
        let uri: Uri = location.split('#').next().unwrap_or_default().parse()?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => bail!("that is not HTTP"),
        };
        let host = uri.host().filter(|host| !host.is_empty()).context("there is no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { tls, place: Place { host, port }, path: request_path(path), host: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(location: &str, expect: &str) {
        let place = Place { host: "fd00::1".to_owned(), port: 8080 };
        let target =
            Target { tls: false, place, path: "/a/b?c=d".to_owned(), host: Some("web".to_owned()) };
        let scheme = |tls| if tls { "https" } else { "http" };
        let url = |next: Target| {
            format!("{}://{}{} as {}", scheme(next.tls), next.place, next.path, next.host_header())
        };
        let found = target.resolved(location).map_or_else(|error| format!("{error:#}"), url);
        assert_eq!(found, expect, "{location}");
    }

    #[test]
    fn a_redirect_is_resolved_against_what_was_asked() {
        check("/new", "http://[fd00::1]:8080/new as web");
        check("new?x", "http://[fd00::1]:8080/a/new?x as web");
        check("?x=y", "http://[fd00::1]:8080/a/b?x=y as web");
        check("#top", "http://[fd00::1]:8080/a/b?c=d as web");
        check("", "http://[fd00::1]:8080/a/b?c=d as web");
        check("/a b#c", "http://[fd00::1]:8080/a%20b as web");
    }

    #[test]
    fn a_redirect_with_a_host_forgets_the_written_one() {
        check("https://[fd00::1]/x", "https://[fd00::1]:443/x as [fd00::1]:443");
        check("//example.com:81", "http://example.com:81/ as example.com:81");
        check("http://example.com?q#f", "http://example.com:80/?q as example.com:80");
    }

    #[test]
    fn a_redirect_to_what_is_not_http_is_an_error() {
        check("ftp://example.com/", "that is not HTTP");
        check("http://:80/", "there is no host");
    }

    #[test]
    fn an_answer_without_location_or_with_another_status_leads_nowhere() {
        let get = HttpGet {
            tls: true,
            place: Place { host: "h".to_owned(), port: 1 },
            path: "/".to_owned(),
            headers: Vec::new(),
        };
        let target = Target::of(&get);
        assert_eq!(target.next(StatusCode::FOUND, &HeaderMap::new()).unwrap(), None);
        let headers = HeaderMap::from_iter([(header::LOCATION, "/x".parse().unwrap())]);
        assert_eq!(target.next(StatusCode::NOT_MODIFIED, &headers).unwrap(), None);
        assert!(target.next(StatusCode::PERMANENT_REDIRECT, &headers).unwrap().is_some());
    }
}
