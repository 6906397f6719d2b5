//! The pages that come with the plugin.
use efference_sdk::{Error, Result};
use url::Url;

/// Where they are, as their own scripts see it. The name can never be resolved (RFC 2606): requests for it are answered
/// from memory and reach no network.
pub(crate) const ROOT: &str = "https://efference.invalid/";

/// What the option says, the path under the root, and the page.
const PAGES: [(&str, &str, &str); 3] = [
    ("bundled", "", include_str!("page/bundled.html")),
    ("bundled:waves", "waves", include_str!("page/waves.html")),
    ("bundled:catch", "catch", include_str!("page/catch.html")),
];

/// The address of the page that the option `url` names, if it names one that comes along.
pub(crate) fn address(option: &str) -> Result<Option<Url>> {
    if option != "bundled" && !option.starts_with("bundled:") {
        return Ok(None);
    }
    match PAGES.iter().find(|(name, ..)| *name == option) {
        Some((_, path, _)) => Ok(Some(Url::parse(&format!("{ROOT}{path}"))?)),
        None => Err(Error::msg(format!(
            "url = {option:?}: no such page comes along; there are {}",
            PAGES.map(|(name, ..)| format!("{name:?}")).join(", ")
        ))),
    }
}

/// The page at an address under the root.
pub(crate) fn page(address: &str) -> Option<&'static str> {
    let path = address.strip_prefix(ROOT)?;
    PAGES.iter().find(|(_, own, _)| *own == path).map(|(.., page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_at_its_address() {
        for (name, _, text) in PAGES {
            assert_eq!(page(address(name).unwrap().unwrap().as_str()), Some(text));
        }
        assert!(address("https://example.org/").unwrap().is_none());
        assert_eq!(page("https://efference.invalid/else"), None);
        let error = address("bundled:wave").unwrap_err().to_string();
        assert!(error.contains("\"bundled:waves\""), "{error}");
    }
}
