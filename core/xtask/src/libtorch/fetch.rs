//! Fetches a libtorch into the user's cache: wheels by pip, unpacked beside their place, checked, then
//! renamed into it.
//!
//! A set-up that is stopped at any moment leaves no half-made libtorch: at worst a folder `….part` stays,
//! which the next set-up uses (its whole wheels) and then removes.

use super::VERSION;
use super::version::fault;
use super::wheels::{self, Flavour};
use crate::error::{Error, Result};
use crate::places::unwritable;
use crate::python::{Python, last_lines};
use crate::report::{bytes, duration, say};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const UNPACK: &str = include_str!("unpack.py");

/// Makes sure that the cache has this libtorch, and returns its folder `…/torch`. With `again`, fetches it
/// even so.
pub(super) fn into_cache(cache: &Path, flavour: Flavour, again: bool) -> Result<PathBuf> {
    let root = cache.join(flavour.folder());
    let torch = root.join("torch");
    if !again && ready(&torch, flavour) {
        return Ok(torch);
    }
    let python = Python::with_pip()?;
    let _lock = Lock::take(&cache.join("set-up.lock"))?;
    if !again && ready(&torch, flavour) {
        return Ok(torch); // the set-up that we waited for made it
    }
    if root.exists() && !again {
        say(format!("the libtorch in {} is damaged; fetching it again", root.display()));
    }
    let work = cache.join(format!("{}.part", flavour.folder()));
    Fetch { python, flavour, wheels: work.join("wheels"), unpacked: work.join("unpacked"), work }
        .run(&root)?;
    Ok(torch)
}

/// Whether the cache's libtorch is whole.
fn ready(torch: &Path, flavour: Flavour) -> bool {
    let cuda = || torch.join("lib/libtorch_cuda.so").is_file();
    fault(torch).is_none() && torch.join("../nvidia").is_dir() && (flavour == Flavour::Cpu || cuda())
}

struct Fetch {
    python: Python,
    flavour: Flavour,
    /// Everything that is not finished.
    work: PathBuf,
    /// Wheels that were downloaded to the end.
    wheels: PathBuf,
    unpacked: PathBuf,
}

impl Fetch {
    fn run(&self, root: &Path) -> Result<()> {
        let start = Instant::now();
        self.clear_leftovers()?;
        self.check_space()?;
        let what = match self.flavour {
            Flavour::Cpu => "about 530 MB",
            Flavour::Cuda => "with NVIDIA's libraries, about 2.5 GB",
        };
        say(format!(
            "fetching libtorch {VERSION} for {} by pip ({what}), once, into {}",
            self.flavour.name(),
            root.display()
        ));
        let (torch, metadata) = self.torch_wheel()?;
        self.unpack(&torch, self.flavour.parts_of_torch())?;
        if self.flavour == Flavour::Cpu {
            let script = self.unpacked.join("torch/lib/libtorch.so");
            fs::write(&script, wheels::LIBTORCH_SO).map_err(|e| Error::file("write", &script, &e))?;
        }
        for wheel in self.nvidia_wheels(&self.flavour.requirements(&metadata))? {
            self.unpack(&wheel, self.flavour.parts_of_nvidia())?;
        }
        self.verify()?;
        self.put_in_place(root)?;
        say(format!("libtorch {VERSION} is in {} after {}", root.display(), duration(start.elapsed())));
        Ok(())
    }

    /// Removes what a set-up that was stopped left unfinished, and keeps the wheels that it had whole.
    fn clear_leftovers(&self) -> Result<()> {
        fs::create_dir_all(&self.wheels).map_err(|e| unwritable(&self.wheels, &e))?;
        let entries = fs::read_dir(&self.work).map_err(|e| unwritable(&self.work, &e))?;
        for path in entries.flatten().map(|e| e.path()).filter(|p| *p != self.wheels) {
            // A pip that outlived its set-up may still be writing to its own download; that harms no one.
            match fs::remove_dir_all(&path) {
                Err(error) if path == self.unpacked => return Err(unwritable(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_space(&self) -> Result<()> {
        let (free, needed) = (self.python.free_space(&self.work)?, self.flavour.space());
        // The wheels that are there already need not be fetched.
        let needed = needed.saturating_sub(2 * size_of_folder(&self.wheels));
        if free >= needed {
            return Ok(());
        }
        let what = format!(
            "there is too little space in {}: {} free, {} needed",
            self.work.display(),
            bytes(free),
            bytes(needed)
        );
        Err(Error::new(what)
            .help("Free some space there, or set XDG_CACHE_HOME to a folder on another disk."))
    }

    /// PyTorch's wheel, and its METADATA.
    fn torch_wheel(&self) -> Result<(PathBuf, String)> {
        let metadata = |wheel: &Path| self.python.eval(UNPACK, &[OsStr::new("metadata"), wheel.as_os_str()]);
        let start = format!("torch-{VERSION}-");
        let fetched = list(&self.wheels)
            .into_iter()
            .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&start)));
        if let Some(wheel) = fetched {
            if let Ok(metadata) = metadata(&wheel) {
                say("going on with the wheel of torch that an earlier set-up fetched");
                return Ok((wheel, metadata));
            }
            fs::remove_file(&wheel).map_err(|e| unwritable(&wheel, &e))?;
        }
        let fetched = self.download(&["--no-deps".into(), format!("torch=={VERSION}")])?.into_iter().next();
        let wheel =
            fetched.ok_or_else(|| Error::new("pip said that it fetched torch, but there is no wheel"))?;
        let metadata = metadata(&wheel)?;
        Ok((wheel, metadata))
    }

    fn nvidia_wheels(&self, requirements: &[String]) -> Result<Vec<PathBuf>> {
        if requirements.is_empty() {
            return Err(Error::new(
                "the wheel of torch asks for none of the NVIDIA packages that libtorch is linked to",
            )
            .help("Set LIBTORCH to a libtorch that you have, and report this."));
        }
        self.download(requirements)
    }

    /// Has pip download into a folder of its own, and moves the wheels to the others once all are whole.
    fn download(&self, arguments: &[String]) -> Result<Vec<PathBuf>> {
        let folder = self.work.join(format!("download-{}", process::id()));
        fs::create_dir_all(&folder).map_err(|e| unwritable(&folder, &e))?;
        let mut pip = self.python.pip();
        // pip keeps unfinished files in TMPDIR, which is often a small disk.
        pip.args(wheels::download_arguments())
            .args(arguments)
            .arg("--dest")
            .arg(&folder)
            .env("TMPDIR", &folder);
        run_pip(pip, &folder)?;
        let mut moved = Vec::new();
        for wheel in list(&folder).into_iter().filter(|p| p.extension() == Some(OsStr::new("whl"))) {
            let place = self.wheels.join(wheel.file_name().unwrap_or_default());
            fs::rename(&wheel, &place).map_err(|e| unwritable(&place, &e))?;
            moved.push(place);
        }
        Ok(moved)
    }

    fn unpack(&self, wheel: &Path, patterns: &[&str]) -> Result<()> {
        let mut arguments = vec![OsStr::new("unpack"), wheel.as_os_str(), self.unpacked.as_os_str()];
        arguments.extend(patterns.iter().map(OsStr::new));
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        let printed = self.python.eval(UNPACK, &arguments).map_err(|error| {
            // Whatever is wrong with it, the next set-up should fetch it anew.
            let _ = fs::remove_file(wheel);
            Error::new(format!("cannot unpack {name}: {error}"))
                .help("Start again: the wheel will be fetched anew.")
        })?;
        if let Some((files, size)) = printed.trim().split_once(' ')
            && files != "0"
        {
            say(format!("  unpacked {files} files ({}) of {name}", bytes(size.parse().unwrap_or(0))));
        }
        Ok(())
    }

    /// The right version, and it really loads on this machine.
    fn verify(&self) -> Result<()> {
        let torch = self.unpacked.join("torch");
        if let Some(fault) = fault(&torch) {
            return Err(Error::new(format!("what pip fetched {fault}")).help(
                "Is pip set up to use another index than PyPI (`pip config list`)? Or set LIBTORCH to a \
                 libtorch that you have.",
            ));
        }
        let library = match self.flavour {
            Flavour::Cpu => torch.join("lib/libtorch_cpu.so"),
            Flavour::Cuda => torch.join("lib/libtorch_cuda.so"),
        };
        let load = "import ctypes, sys; ctypes.CDLL(sys.argv[1])";
        self.python.eval(load, &[library.as_os_str()]).map(|_| ()).map_err(|error| {
            Error::new(format!("libtorch was fetched, but it does not load on this machine: {error}"))
                .help(
                "It needs Linux on x86-64 with glibc 2.28 or later. Or set LIBTORCH to a libtorch made for this \
                 machine.",
            )
        })
    }

    fn put_in_place(&self, root: &Path) -> Result<()> {
        if root.exists() {
            let old = self.work.join("old");
            fs::rename(root, &old).map_err(|e| unwritable(root, &e))?;
        }
        fs::rename(&self.unpacked, root).map_err(|e| unwritable(root, &e))?;
        // What is left is in no one's way.
        let _ = fs::remove_dir_all(&self.work);
        Ok(())
    }
}

/// Runs pip to its end with a line now and then about how much of it is in `folder`.
fn run_pip(mut pip: Command, folder: &Path) -> Result<()> {
    let started = pip.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|e| Error::new(format!("cannot start pip: {e}")))?;
    let mut pipe = child.stderr.take();
    let words = thread::spawn(move || {
        let mut words = Vec::new();
        pipe.as_mut().map(|p| p.read_to_end(&mut words));
        String::from_utf8_lossy(&words).into_owned()
    });
    let start = Instant::now();
    let mut next = Duration::from_secs(5);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| Error::new(format!("cannot wait for pip: {e}")))? {
            break status;
        }
        if start.elapsed() >= next {
            say(format!("  {} after {}", bytes(size_of_folder(folder)), duration(start.elapsed())));
            next += Duration::from_secs(10);
        }
        thread::sleep(Duration::from_millis(100));
    };
    let words = words.join().unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let help = if words.contains("No space left on device") {
        "Free some space there, or set XDG_CACHE_HOME to a folder on another disk."
    } else {
        "Is the network up, and does pip reach PyPI (try `python3 -m pip download --no-deps six`)? Behind a \
         proxy, set HTTPS_PROXY. Without a network, set LIBTORCH to a libtorch that you have."
    };
    let words = last_lines(&words, 4).replace('\n', "\n    ");
    Err(Error::new(format!("pip could not download ({status}):\n    {words}")).help(help))
}

/// Held while one process changes the cache; the system gives it back however the process ends.
struct Lock {
    _file: File,
}

impl Lock {
    fn take(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|e| unwritable(path, &e))?;
        let held = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                say("another set-up is fetching libtorch; waiting for it");
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        match held {
            // A network disk may know no locks; two set-ups at once are rare, so that is no reason to refuse.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                Err(Error::file("lock", path, &error))
            }
            _ => Ok(Self { _file: file }),
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.flatten().map(|e| e.path()).collect()).unwrap_or_default()
}

/// Bytes of the files below a folder, as far as they can be read; only for telling progress and guessing
/// space.
fn size_of_folder(folder: &Path) -> u64 {
    let size = |path: PathBuf| match path.symlink_metadata() {
        Ok(data) if data.is_dir() => size_of_folder(&path),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    list(folder).into_iter().map(size).sum()
}
