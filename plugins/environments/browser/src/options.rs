//! The options, and what of them can be found wrong before anything is started.
use crate::actions::{Do, SPRING};
use crate::bundled;
use crate::sight::See;
use efference_sdk::{Error, Result, ensure};
use url::Url;

efference_sdk::options! {
    /// How pictures travel from the browser.
    pub enum Image {
        /// JPEG of quality 80: quick on every page, with small errors.
        Jpeg,
        /// PNG: exact, and as quick on flat pages, but a third of the pictures a second on photos.
        Png,
    }
}

efference_sdk::options! {
    /// Options of `browser`.
    pub struct Options {
        /// The page of every stream, at the start and after a page fault: an http(s) address, or a page that comes along: "bundled" (a ball to follow), "bundled:waves" (waves of colour), "bundled:catch" (balls to catch).
        pub url: String = "bundled".to_owned(),
        /// Pages that are driven at once, each with cookies and a window of its own.
        #[schemars(range(min = 1, max = 64))]
        pub streams: usize = 1,
        /// Width of the window's inside, in pixels.
        #[schemars(range(min = 64, max = 2048))]
        pub width: usize = 640,
        /// Height of the window's inside, in pixels.
        #[schemars(range(min = 64, max = 2048))]
        pub height: usize = 480,
        /// What a stream observes, one part after the other; without any: the rectangle around the mouse that `view_width`, `view_height` and `shrink` say, and where the mouse is.
        #[schemars(length(max = 32))]
        pub sees: Vec<See> = Vec::new(),
        /// What a stream can do, one after the other; without any: a relative mouse by `mouse_speed` and `mouse_spring`, its left button, and the wheel by `scroll_speed`.
        #[schemars(length(max = 32))]
        pub does: Vec<Do> = Vec::new(),
        /// Width of the rectangle around the mouse that is observed, in pixels; a multiple of `shrink`.
        #[schemars(range(min = 1, max = 4096))]
        pub view_width: usize = 128,
        /// Height of the rectangle around the mouse that is observed, in pixels; a multiple of `shrink`.
        #[schemars(range(min = 1, max = 4096))]
        pub view_height: usize = 128,
        /// Squares of this side, in pixels, are averaged to one observed colour.
        #[schemars(range(min = 1, max = 256))]
        pub shrink: usize = 4,
        /// Observations a second at most; 0: one for each picture that the browser draws (up to 60), 10 while it stands still.
        #[schemars(range(min = 0.0, max = 1000.0))]
        pub frames_per_second: f64 = 20.0,
        /// How far the mouse goes in one step for an action of 1, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub mouse_speed: f64 = 50.0,
        /// The part of its way from the middle of the window that the mouse loses in each step, so that it does not end at an edge.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub mouse_spring: f64 = SPRING,
        /// How far the page is scrolled in one step for an action of 1, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub scroll_speed: f64 = 100.0,
        /// How pictures travel from the browser.
        pub image: Image = Image::Jpeg,
        /// Seconds without a sign of life after which a page is taken for hung and is loaded anew; a server has six times as long.
        #[schemars(range(min = 0.5, max = 600.0))]
        pub patience: f64 = 5.0,
        /// Chromium's program file; empty: the usual places are searched.
        pub chromium: String = String::new(),
        /// Whether Chromium's sandbox is used; without it, a page that breaks out of the renderer has all of this user's rights.
        pub sandbox: bool = true,
    }
}

impl Options {
    /// Checks what one option's range cannot say, and returns the address of the page.
    pub(crate) fn check(&self) -> Result<Url> {
        self.check_sees()?;
        self.check_does()?;
        ensure!(self.streams > 0, "streams = 0: at least one page is needed");
        if let Some(url) = bundled::address(&self.url)? {
            return Ok(url);
        }
        let url = Url::parse(&self.url).map_err(|e| {
            Error::msg(e).context(format!(
                "url = {:?} is no address; write it in full, like \"https://example.org/\", or \"bundled\"",
                self.url
            ))
        })?;
        ensure!(
            matches!(url.scheme(), "http" | "https"),
            "url = {:?}: only http and https pages can be opened, not '{}:'",
            self.url,
            url.scheme()
        );
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_pages_can_be_opened() {
        let url = |url: &str| Options { url: url.to_owned(), ..Options::default() }.check();
        assert_eq!(url("bundled").unwrap().as_str(), bundled::ROOT);
        assert_eq!(url("HTTP://example.org").unwrap().as_str(), "http://example.org/");
        for bad in
            ["file:///etc/passwd", "chrome://crash", "javascript:alert(1)", "data:text/html,x", "about:blank"]
        {
            let error = url(bad).unwrap_err().to_string();
            assert!(error.contains("only http and https"), "{error}");
        }
        assert!(url("example.org").unwrap_err().to_string().contains("write it in full"));
    }

    #[test]
    fn a_view_that_cannot_be_shrunk_is_refused() {
        let error = Options { view_width: 130, ..Options::default() }.check().unwrap_err().to_string();
        assert!(error.contains("130") && error.contains("shrink = 4"), "{error}");
    }
}
