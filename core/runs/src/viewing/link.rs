//! A viewer's end.
use super::message::Request;
use super::socket_in;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Nothing takes the engine so long that it has not at least replied where it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the object of a reply, and of its pictures, at most.
const LARGEST: [u32; 2] = [1 << 20, 256 << 20];

/// A way to a run that goes on.
#[derive(Debug)]
pub struct Link {
    stream: BufReader<UnixStream>,
}

/// Why nothing is to be had of a run.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no process that offers it.
    #[error("the run offers nothing to look at: {0}")]
    NotOffered(io::Error),
    /// It offered, and does no longer.
    #[error("the run no longer replies: {0}")]
    Lost(#[from] io::Error),
}

/// What a run replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// A JSON object.
    pub object: Vec<u8>,
    /// The pictures that it describes.
    pub pictures: Vec<u8>,
}

impl Link {
    /// Opens one to the run of this directory.
    ///
    /// # Errors
    /// If no process offers the run.
    pub fn open(run: &Path) -> Result<Link, LinkError> {
        let connect = || -> io::Result<UnixStream> {
            let stream = UnixStream::connect(socket_in(&File::open(run)?))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let stream = connect().map_err(LinkError::NotOffered)?;
        Ok(Link { stream: BufReader::with_capacity(1 << 16, stream) })
    }

    /// Asks, and waits for the reply. After an error it is of no more use.
    ///
    /// # Errors
    /// If the run has ended.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, LinkError> {
        self.stream.get_mut().write_all(format!("{}\n", request.line()).as_bytes())?;
        let [object, pictures] = LARGEST.map(|most| self.part(most));
        Ok(Reply { object: object?, pictures: pictures? })
    }

    fn part(&mut self, most: u32) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > most {
            return Err(io::Error::other(format!("a reply of {length} bytes, where {most} are the most")));
        }
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
