//! Rewards: what a page gives by `directScore(x)`, normalised per page to −1…1.
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use url::Url;

/// The largest reward of a frame, and, negative, the smallest.
pub(crate) const MAX: f32 = 0.99;
/// No single reward and no mean counts for more.
pub(crate) const LIMIT: f64 = 1e9;
/// No more rewards come at once: more than a page can give between two frames, and few enough that counts stay finite.
const MOST: f64 = 1e12;
/// How many rewards of the past the statistics remember.
const HORIZON: f64 = 100_000.0;
/// How many pages are remembered.
const PAGES: usize = 4_096;
/// How many pages can reward a stream between two of its frames.
const PAGES_A_FRAME: usize = 16;

/// Which page gave a reward: its address without query and fragment, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub(crate) struct PageKey(u64);

impl PageKey {
    /// The key of an address. Addresses come from pages: anything goes.
    pub(crate) fn of(address: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        match Url::parse(address) {
            Ok(url) => (url.scheme(), url.host_str(), url.port(), url.path()).hash(&mut hasher),
            Err(_) => address.hash(&mut hasher),
        }
        PageKey(hasher.finish())
    }
}

/// Rewards of one stream since its last frame.
#[derive(Debug, Default)]
pub(crate) struct Rewards(Vec<(PageKey, f64, f64)>);

impl Rewards {
    /// Adds `count` rewards that add up to `sum`.
    pub(crate) fn add(&mut self, page: PageKey, sum: f64, count: f64) {
        // An infinite count under an infinite sum would make a reward that is no number.
        if sum.is_finite() && (1.0..=MOST).contains(&count) {
            self.merge(page, sum, count);
        }
    }

    fn merge(&mut self, page: PageKey, sum: f64, count: f64) {
        let room = self.0.len() < PAGES_A_FRAME;
        match self.0.last_mut() {
            Some((last, s, n)) if *last == page => {
                *s += sum;
                *n += count;
            }
            _ if room => self.0.push((page, sum, count)),
            _ => {} // pages that replace each other hundreds of times a second get no more attention than this
        }
    }

    /// Adds those that came later.
    pub(crate) fn append(&mut self, later: Rewards) {
        later.0.into_iter().for_each(|(page, sum, count)| self.merge(page, sum, count));
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Running mean and variance of one page's rewards.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "[u64; 3]", from = "[u64; 3]")]
struct Statistics {
    count: f64,
    mean: f64,
    variance: f64,
}

// Their bits, since a number that is read from decimal digits may be another one.
impl From<Statistics> for [u64; 3] {
    fn from(s: Statistics) -> Self {
        [s.count, s.mean, s.variance].map(f64::to_bits)
    }
}

impl From<[u64; 3]> for Statistics {
    fn from(bits: [u64; 3]) -> Self {
        let [count, mean, variance] = bits.map(f64::from_bits);
        Statistics { count, mean, variance }
    }
}

impl Statistics {
    /// The reward in standard deviations from the mean so far, of which three are 1; then learns it.
    fn normalise(&mut self, reward: f64) -> f64 {
        let v = reward.clamp(-LIMIT, LIMIT);
        let normal = if self.count == 0.0 {
            v
        } else {
            (v - self.mean) / self.variance.max(0.0).sqrt().max(1e-6) * 0.33
        };
        let d = v - self.mean;
        let k = self.count + 1.0;
        self.mean += d / k;
        self.variance = (self.variance * self.count + d * d) / k;
        self.count = k.min(HORIZON);
        normal.clamp(-f64::from(MAX), f64::from(MAX))
    }
}

/// A frame's reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Given {
    /// The mean of what was given, in −10⁹…10⁹.
    pub(crate) raw: f64,
    /// The sum of it, in the same range.
    pub(crate) sum: f64,
    /// Of each page the mean of its rewards, normalised; of several pages, which only a navigation within the frame makes,
    /// the mean. In −0.99…0.99.
    pub(crate) normalised: f32,
}

/// The statistics of all pages that were met lately.
#[derive(Debug, Default)]
pub(crate) struct Normaliser {
    pages: HashMap<PageKey, (u64, Statistics)>,
    used: u64,
}

/// What is saved of a [`Normaliser`].
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedNormaliser {
    pages: Vec<(u64, PageKey, Statistics)>,
    used: u64,
}

impl Normaliser {
    /// A frame's reward; `None` without any.
    pub(crate) fn take(&mut self, rewards: &mut Rewards) -> Option<Given> {
        if rewards.0.is_empty() {
            return None;
        }
        let (mut total, mut sums, mut counts) = (0.0, 0.0, 0.0);
        for &(page, sum, count) in &rewards.0 {
            total += self.statistics(page).normalise(sum / count);
            // Each at most the limit: sums stay finite.
            sums += (sum / count).clamp(-LIMIT, LIMIT) * count;
            counts += count;
        }
        let normalised = (total / rewards.0.len() as f64) as f32;
        rewards.clear();
        Some(Given { raw: (sums / counts).clamp(-LIMIT, LIMIT), sum: sums.clamp(-LIMIT, LIMIT), normalised })
    }

    /// All that it is, in an order that does not change.
    pub(crate) fn save(&self) -> SavedNormaliser {
        let mut pages: Vec<_> =
            self.pages.iter().map(|(page, (used, statistics))| (*used, *page, *statistics)).collect();
        pages.sort_by_key(|(used, page, _)| (*used, *page));
        SavedNormaliser { pages, used: self.used }
    }

    /// Goes on from there.
    pub(crate) fn restore(saved: SavedNormaliser) -> Self {
        let pages = saved.pages.into_iter().map(|(used, page, statistics)| (page, (used, statistics)));
        Normaliser { pages: pages.collect(), used: saved.used }
    }

    fn statistics(&mut self, page: PageKey) -> &mut Statistics {
        self.used += 1;
        if self.pages.len() >= PAGES && !self.pages.contains_key(&page) {
            let oldest = self.pages.iter().min_by_key(|(_, (used, _))| *used).map(|(page, _)| *page);
            oldest.map(|page| self.pages.remove(&page));
        }
        let (used, statistics) = self.pages.entry(page).or_default();
        *used = self.used;
        statistics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(normaliser: &mut Normaliser, page: &str, reward: f64) -> f64 {
        let mut rewards = Rewards::default();
        rewards.add(PageKey::of(page), reward, 1.0);
        f64::from(normaliser.take(&mut rewards).unwrap().normalised)
    }

    #[test]
    fn rewards_are_normalised_as_webenv_does() {
        // From the running program: 3, 5, 4, 10, −2 give these.
        let mut normaliser = Normaliser::default();
        for (reward, expected) in
            [(3.0, 0.99), (5.0, 0.22), (4.0, 0.0), (10.0, 0.951_161_233_6), (-2.0, -0.707_142_857_1)]
        {
            let found = normalised(&mut normaliser, "https://a.example/x?q=1#f", reward);
            assert!((found - expected).abs() < 1e-7, "{reward}: {found}, expected {expected}");
            // Another page has statistics of its own.
            normalised(&mut normaliser, "https://a.example/y", -reward);
        }
        // The same page with another query goes on where it was.
        let variance = normaliser.pages[&PageKey::of("https://a.example/x")].1.variance;
        assert!((normalised(&mut normaliser, "https://a.example/x?q=2", 1e300) - 0.99).abs() < 1e-7);
        assert!(variance > 1.0);
    }

    #[test]
    fn a_frame_has_the_mean_of_its_rewards_and_what_is_no_number_does_not_count() {
        let mut normaliser = Normaliser::default();
        let mut rewards = Rewards::default();
        assert_eq!(normaliser.take(&mut rewards), None);
        let page = PageKey::default();
        for (sum, count) in
            [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, 0.0), (1.0, f64::NAN), (0.2, 1.0), (1.0, 3.0)]
        {
            rewards.add(page, sum, count);
        }
        let given = normaliser.take(&mut rewards).unwrap();
        assert!((given.raw - 0.3).abs() < 1e-9 && (given.normalised - 0.3).abs() < 1e-6, "{given:?}");
        assert_eq!(normaliser.take(&mut rewards), None);
        for _ in 0..2 {
            rewards.add(page, 1e308, 1e308);
            rewards.add(page, 1e308, 1.0);
        }
        let given = normaliser.take(&mut rewards).unwrap();
        assert_eq!(
            given,
            Given { raw: LIMIT, sum: LIMIT, normalised: MAX },
            "no NaN, however large they are"
        );
    }

    #[test]
    fn a_site_of_endless_pages_takes_bounded_memory() {
        let mut normaliser = Normaliser::default();
        for page in 0..3 * PAGES {
            normalised(&mut normaliser, &format!("https://a.example/{page}"), 1.0);
        }
        assert_eq!(normaliser.pages.len(), PAGES);
        let mut rewards = Rewards::default();
        (0..1000).for_each(|page| rewards.add(PageKey(page), 1.0, 1.0));
        assert_eq!(rewards.0.len(), PAGES_A_FRAME);
    }
}
