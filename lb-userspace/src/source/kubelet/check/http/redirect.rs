//! Where a redirect leads: Go's `net/http`, as far as a probe goes. Pure.

use crate::source::kubelet::probe::{HttpGet, Place};
use crate::source::kubelet::read::request_path;
use anyhow::{Context as _, Result, bail};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use url::Url;

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

    /// Where an answer leads at the same host; `None`: nowhere, or to another one.
    pub(super) fn next(&self, status: StatusCode, headers: &HeaderMap) -> Result<Option<Self>> {
        let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = headers.get(header::LOCATION).filter(|_| leads) else {
            return Ok(None);
        };
        let location = str::from_utf8(location.as_bytes());
        let location = location.context("a redirect leads to what is no text")?;
        self.resolved(location).with_context(|| format!("a redirect leads to {location:?}"))
    }

    /// A written `Host` holds for what is not absolute (golang/go issue 22233).
    fn resolved(&self, location: &str) -> Result<Option<Self>> {
        let scheme = if self.tls { "https" } else { "http" };
        let own = Url::parse(&format!("{scheme}://{}{}", self.place, self.path))?;
        let url = own.join(location)?;
        if url.host() != own.host() {
            return Ok(None);
        }
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => bail!("that is not HTTP"),
        };
        let port = url.port_or_known_default().context("there is no port")?;
        let path = [Some(url.path()), url.query()].into_iter().flatten().collect::<Vec<_>>();
        let host = self.host.clone().filter(|_| Url::parse(location).is_err());
        let place = Place { host: self.place.host.clone(), port };
        Ok(Some(Self { tls, place, path: request_path(&path.join("?")), host }))
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
        let found = match target.resolved(location) {
            Ok(Some(next)) => url(next),
            Ok(None) => "another host".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        assert_eq!(found, expect, "{location}");
    }

    #[test]
    fn a_redirect_is_resolved_against_what_was_asked() {
        check("/new", "http://[fd00::1]:8080/new as web");
        check("new?x", "http://[fd00::1]:8080/a/new?x as web");
        check("../new", "http://[fd00::1]:8080/new as web");
        check("?x=y", "http://[fd00::1]:8080/a/b?x=y as web");
        check("#top", "http://[fd00::1]:8080/a/b?c=d as web");
        check("", "http://[fd00::1]:8080/a/b?c=d as web");
        check("/a b#c", "http://[fd00::1]:8080/a%20b as web");
        check("/\u{fc}", "http://[fd00::1]:8080/%C3%BC as web");
        check("//[fd00::1]:81", "http://[fd00::1]:81/ as web");
    }

    #[test]
    fn an_absolute_redirect_forgets_the_written_host() {
        check("https://[fd00::1]/x", "https://[fd00::1]:443/x as [fd00::1]:443");
        check("http://[fd00::1]?q#f", "http://[fd00::1]:80/?q as [fd00::1]:80");
    }

    #[test]
    fn a_redirect_to_another_host_is_not_followed_whatever_its_scheme() {
        for other in ["//example.com:81", "http://[fd00::2]/", "ftp://example.com/", "app://login"]
        {
            check(other, "another host");
        }
    }

    #[test]
    fn a_redirect_to_what_is_not_http_at_the_same_host_is_an_error() {
        check("ftp://[fd00::1]/", "that is not HTTP");
        check("http://:80/", "empty host");
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
