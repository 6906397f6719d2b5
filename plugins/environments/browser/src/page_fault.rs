//! What can be wrong with a page, in words, and what helps.
use std::fmt;

/// How many dialogs a second a page may open.
pub(crate) const DIALOGS: u32 = 5;

/// What is wrong with a page.
#[derive(Debug)]
pub(crate) enum PageFault {
    Crashed,
    Closed,
    Hung,
    StillHung,
    Dialogs,
    NotLoaded(String),
    ErrorPage,
    Undrawn,
}

impl PageFault {
    /// Its name among kinds of trouble.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            PageFault::Crashed => "crashed",
            PageFault::Closed => "closed",
            PageFault::Hung => "hung",
            PageFault::StillHung => "still hung",
            PageFault::Dialogs => "dialogs",
            PageFault::NotLoaded(_) => "not loaded",
            PageFault::ErrorPage => "error page",
            PageFault::Undrawn => "undrawn",
        }
    }

    /// Whether a page that has it from the start will have it again.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            PageFault::Hung | PageFault::StillHung | PageFault::NotLoaded(_) | PageFault::ErrorPage
        )
    }

    /// Whether loading a page into the same tab does not help.
    pub(crate) fn needs_new_tab(&self) -> bool {
        matches!(self, PageFault::Closed | PageFault::StillHung | PageFault::Dialogs | PageFault::Undrawn)
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PageFault::Crashed => f.write_str("the page has crashed"),
            PageFault::Closed => f.write_str("the page has closed itself"),
            PageFault::Hung => f.write_str("the page does not answer; its scripts are stopped"),
            PageFault::StillHung => f.write_str("the page does not answer, though its scripts were stopped"),
            PageFault::Dialogs => write!(f, "the page opens more than {DIALOGS} dialogs a second"),
            PageFault::NotLoaded(why) => write!(f, "the page cannot be loaded: {why}"),
            PageFault::Undrawn => f.write_str("the page answers, but its step does not end"),
            PageFault::ErrorPage => f.write_str("the page leads to one that cannot be loaded"),
        }
    }
}
