//! What is saved: a line of JSON, then the memory, the statistics and the pickled environments.
use crate::options::Options;
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Result, ResultExt, ensure, serde_json};

/// Goes up when older saved bytes can no longer be read.
const FORMAT: u32 = 1;

/// Environments as they are when no step is under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Saved {
    pub(crate) id: String,
    /// Of Python, Gymnasium and NumPy.
    pub(crate) versions: Vec<String>,
    /// Whether the frames in the memory were not sent yet.
    pub(crate) asked: bool,
    /// The memory behind its first words.
    pub(crate) content: Vec<u8>,
    pub(crate) statistics: Vec<u8>,
    /// Bytes of each environment.
    pub(crate) lengths: Vec<usize>,
    pub(crate) environments: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Head {
    format: u32,
    id: String,
    versions: Vec<String>,
    asked: bool,
    content: usize,
    statistics: usize,
    environments: Vec<usize>,
}

impl Saved {
    pub(crate) fn write(self) -> Result<Vec<u8>> {
        let head = Head {
            format: FORMAT,
            id: self.id,
            versions: self.versions,
            asked: self.asked,
            content: self.content.len(),
            statistics: self.statistics.len(),
            environments: self.lengths,
        };
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        [self.content, self.statistics, self.environments].iter().for_each(|part| bytes.extend(part));
        Ok(bytes)
    }

    /// Errors: they are no saved environments, or damaged.
    pub(crate) fn read(bytes: &[u8]) -> Result<Saved> {
        const DAMAGED: &str = "these bytes are no saved environments, or are damaged";
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let head: Head = serde_json::from_slice(&bytes[..end]).context(DAMAGED)?;
        ensure!(
            head.format == FORMAT,
            "these environments were saved in format {}, but this version of the plugin reads format {FORMAT}; resume with the \
             version that saved them",
            head.format
        );
        // Behind the line's end, which damaged ones lack.
        let mut rest = bytes.get(end + 1..).unwrap_or_default();
        let mut take = |length: usize| {
            let (taken, left) = rest.split_at_checked(length)?;
            rest = left;
            Some(taken.to_vec())
        };
        let environments = head.environments.iter().try_fold(0_usize, |sum, n| sum.checked_add(*n));
        let parts = [Some(head.content), Some(head.statistics), environments].map(|length| take(length?));
        let [Some(content), Some(statistics), Some(environments)] = parts else {
            efference_sdk::bail!("{DAMAGED}: they end too early")
        };
        ensure!(rest.is_empty(), "{DAMAGED}: there are more than they say");
        let Head { id, versions, asked, environments: lengths, .. } = head;
        Ok(Saved { id, versions, asked, content, statistics, lengths, environments })
    }

    /// Fails if they are not of environments such as these.
    pub(crate) fn check(&self, options: &Options, versions: &[String]) -> Result<()> {
        ensure!(self.id == options.id, "this is a saved {}, and the environment is {}", self.id, options.id);
        ensure!(
            self.lengths.len() == options.streams,
            "{} streams were saved, and there are {}",
            self.lengths.len(),
            options.streams
        );
        ensure!(
            self.versions == versions,
            "the environments were saved with {} (Python, Gymnasium, NumPy), and this is {}: pickles of one need not fit another",
            self.versions.join(", "),
            versions.join(", ")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        Saved {
            id: "Some-v0".into(),
            versions: vec!["3.12.1".into(), "1.2.0".into()],
            asked: true,
            content: b"memory\n".to_vec(),
            statistics: b"numbers".to_vec(),
            lengths: vec![3, 4],
            environments: b"onetwo2".to_vec(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_refused() {
        let bytes = saved().write().unwrap();
        assert_eq!(Saved::read(&bytes).unwrap(), saved());
        for length in 0..bytes.len() {
            assert!(Saved::read(&bytes[..length]).is_err(), "{length} bytes are taken");
        }
        assert!(Saved::read(&[&bytes[..], b"x"].concat()).is_err());
        let other = String::from_utf8(bytes).unwrap().replace("\"format\":1", "\"format\":2");
        let error = Saved::read(other.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("saved in format 2"), "{error}");
    }

    #[test]
    fn others_environments_are_not_taken_up() {
        let options = |id: &str, streams| Options { id: id.into(), streams, ..Options::default() };
        let same = ["3.12.1", "1.2.0"].map(String::from);
        assert!(saved().check(&options("Some-v0", 2), &same).is_ok());
        for (options, versions, text) in [
            (options("Other-v0", 2), &same[..], "this is a saved Some-v0, and the environment is Other-v0"),
            (options("Some-v0", 3), &same[..], "2 streams were saved, and there are 3"),
            (options("Some-v0", 2), &same[..1], "saved with 3.12.1, 1.2.0"),
        ] {
            let error = saved().check(&options, versions).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
