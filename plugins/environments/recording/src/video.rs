//! Video, by the user's ffmpeg: a child that writes the pictures, in the size that is wanted, to a pipe.
use crate::options::Options;
use crate::pixels::Size;
use crate::program::Program;
use crate::source::{Place, Source, checksum_of, has_changed, in_files};
use efference_sdk::{Error, Result, ensure};
use std::ffi::OsString;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;

/// A film that is read picture by picture.
pub(crate) struct Film {
    path: PathBuf,
    ffmpeg: String,
    size: Size,
    /// Dropped first: then the program cannot wait for its reader.
    pipe: BufReader<ChildStdout>,
    program: Program,
    buffer: Vec<u8>,
    row: u64,
    checksum: u64,
}

impl Film {
    /// Errors: no ffmpeg, or nothing that it can read.
    pub(crate) fn open(path: &Path, size: Size, options: &Options) -> Result<Film> {
        let checksum = checksum_of(path)?;
        let (program, pipe) = start(path, size, &options.ffmpeg)?;
        let buffer = vec![0; size.values()];
        let (path, ffmpeg) = (path.to_owned(), options.ffmpeg.clone());
        let mut film = Film { path, ffmpeg, size, pipe, program, buffer, row: 0, checksum };
        // What cannot be read is said now.
        if !film.next(&mut vec![0.0; size.values()])? {
            return Err(in_files(format!("{} has no pictures in it", film.path.display())));
        }
        film.go(Place::default())?;
        Ok(film)
    }

    fn failed(&self, how: &str) -> Error {
        in_files(format!("{} cannot be read after {} pictures: {how}", self.path.display(), self.row))
    }
}

fn start(path: &Path, size: Size, ffmpeg: &str) -> Result<(Program, BufReader<ChildStdout>)> {
    let Size { width, height, grey } = size;
    // A name with a colon or a dash is a file's all the same.
    let mut input = OsString::from("file:");
    input.push(path);
    let scale = format!("scale={width}:{height}:flags=area");
    let mut arguments: Vec<OsString> = ["-nostdin", "-v", "error", "-i"].map(OsString::from).into();
    arguments.push(input);
    let format = if grey { "gray" } else { "rgb24" };
    let rest = ["-an", "-sn", "-dn", "-vf", &scale, "-f", "rawvideo", "-pix_fmt", format, "pipe:1"];
    arguments.extend(rest.map(OsString::from));
    let (program, pipe) = Program::start(ffmpeg, arguments).map_err(|error| {
        let message = match error.kind() {
            ErrorKind::NotFound => format!(
                "there is no program {ffmpeg:?}, which video is read by: install it (`apt-get install ffmpeg`), or set \
                 environment.ffmpeg to where it is"
            ),
            _ => format!("the program {ffmpeg:?}, which video is read by, cannot be started: {error}"),
        };
        Error::msg(message).in_option("ffmpeg")
    })?;
    Ok((program, BufReader::with_capacity(1 << 16, pipe)))
}

impl Source for Film {
    fn next(&mut self, row: &mut [f64]) -> Result<bool> {
        let mut length = 0;
        while length < self.buffer.len() {
            match self.pipe.read(&mut self.buffer[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error.to_string())),
            }
        }
        if length == self.buffer.len() {
            self.size.take(&self.buffer, row);
            self.row += 1;
            return Ok(true);
        }
        let words = self.program.end();
        if let Err(words) = words {
            return Err(self.failed(&format!("ffmpeg {words}")));
        }
        if length > 0 {
            return Err(self.failed("the last one is cut off"));
        }
        Ok(false)
    }

    fn place(&self) -> Place {
        Place { row: self.row, ..Place::default() }
    }

    /// Decoded again from the beginning: what ffmpeg finds by seeking may be another picture.
    fn go(&mut self, place: Place) -> Result<()> {
        let (program, pipe) = start(&self.path, self.size, &self.ffmpeg)?;
        (self.program, self.pipe) = (program, pipe);
        self.row = 0;
        let mut row = vec![0.0; self.size.values()];
        while self.row < place.row {
            ensure!(self.next(&mut row)?, "{}: it ends at picture {}", has_changed(&self.path), self.row);
        }
        Ok(())
    }

    fn checksum(&self) -> u64 {
        self.checksum
    }

    fn rows(&self) -> Option<u64> {
        None
    }
}
