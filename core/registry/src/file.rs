//! Reads what a library says of itself from its file, running nothing of it.
//!
//! Only the parts that are needed are read, each whole and once: of a library of some megabytes that is some ten
//! kilobytes, and a listing of all plugins must feel like `ls`.
use crate::Refusal;
use efference_abi::{ABI_VERSION, ENTRY_SYMBOL, FEATURES, FEATURES_LEN, Kind, MAGIC, Manifest, PLUGINS_LEN};
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DynamicTag, ET_DYN, FileHeader64, Machine, SHT_DYNSYM};
use object::read::elf::{Dyn, FileHeader, SectionHeader, SectionTable, Sym};
use object::{Endianness, ReadCache, ReadRef};
use std::fs::File;
use std::mem::offset_of;
use std::path::{Path, PathBuf};

/// What a host is, as far as it decides which plugins it may load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its version of libtorch, such as `2.13.0`.
    pub libtorch_version: String,
    /// The target that it was compiled for, such as `x86_64-unknown-linux-gnu`.
    pub target: String,
}

impl Identity {
    /// What a manifest says of its maker.
    pub fn of(manifest: &Manifest) -> Identity {
        Identity { libtorch_version: text(&manifest.libtorch_version), target: text(&manifest.target) }
    }
}

/// One plugin that a library says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// What it is for.
    pub kind: Kind,
    /// The name that a spec says.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is, in one line.
    pub description: String,
}

/// The manifest of a library that this host may load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileManifest {
    /// Version of the SDK that made it.
    pub sdk_version: String,
    /// The plugins that it holds.
    pub plugins: Vec<PluginInfo>,
    /// Names of the libraries that it needs.
    pub needed: Vec<String>,
    /// Directories in which it looks for them, relative to its own: `lib` for a run path of `$ORIGIN/lib`.
    pub beside: Vec<PathBuf>,
}

impl FileManifest {
    /// Reads the manifest of `file` and checks that `host` may load it.
    ///
    /// # Errors
    /// Why it may not.
    pub fn read(file: &Path, host: &Identity) -> Result<FileManifest, Refusal> {
        let unreadable = |e: std::io::Error| Refusal::Unreadable { file: file.into(), reason: e.to_string() };
        let metadata = std::fs::metadata(file).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Refusal::NotALibrary { file: file.into(), reason: "it is not a file".into() });
        }
        let cache = ReadCache::new(File::open(file).map_err(unreadable)?);
        read(file, &cache, metadata.len(), host)
    }

    /// As [`read`](FileManifest::read), from the bytes of `file`.
    ///
    /// # Errors
    /// Why this host may not load it.
    pub fn of_bytes(file: &Path, bytes: &[u8], host: &Identity) -> Result<FileManifest, Refusal> {
        read(file, bytes, bytes.len() as u64, host)
    }
}

type Elf = FileHeader64<Endianness>;

fn read<'data, R: ReadRef<'data>>(
    file: &Path,
    data: R,
    length: u64,
    host: &Identity,
) -> Result<FileManifest, Refusal> {
    let not_a_library = |reason: &str| Refusal::NotALibrary { file: file.into(), reason: reason.into() };
    let damaged = |reason: String| Refusal::DamagedManifest { file: file.into(), reason };
    let unparsed = |e: object::Error| Refusal::DamagedManifest { file: file.into(), reason: e.to_string() };

    if length == 0 {
        return Err(not_a_library("it is empty"));
    }
    if data.read_bytes_at(0, 4.min(length)) != Ok(b"\x7fELF") {
        return Err(not_a_library("it is no ELF file"));
    }
    let header = Elf::parse(data).map_err(|_| match length < 64 {
        true => Refusal::Truncated { file: file.into(), needed: 64, length },
        false => not_a_library("it is no 64-bit ELF file"),
    })?;
    let endian = header.endian().map_err(|_| not_a_library("its byte order is unknown"))?;
    let theirs = machine(header.e_machine(endian));
    let ours = machine(OUR_MACHINE);
    if theirs != ours || (endian == Endianness::Big) != cfg!(target_endian = "big") {
        return Err(Refusal::OtherMachine { file: file.into(), theirs, ours });
    }
    if header.e_type(endian) != ET_DYN {
        return Err(not_a_library("it is an object file or a program"));
    }
    let sections = u64::from(header.e_shnum(endian)) * u64::from(header.e_shentsize(endian));
    let needed = header.e_shoff(endian).saturating_add(sections);
    if needed > length {
        return Err(Refusal::Truncated { file: file.into(), needed, length });
    }
    let sections = header.sections(endian, data).map_err(unparsed)?;
    let symbol = entry_symbol(&sections, endian, data)
        .map_err(unparsed)?
        .ok_or_else(|| Refusal::NotAPlugin { file: file.into() })?;
    // By its number, not by its address: the addresses of thread-local sections overlap those of others.
    let section =
        symbol.st_shndx(endian).index().and_then(|i| sections.section(object::SectionIndex(i.into())).ok());
    let section = section.ok_or_else(|| damaged(format!("'{ENTRY_SYMBOL}' lies in no section")))?;
    let bytes = section.data(endian, data).map_err(|_| Refusal::Truncated {
        file: file.into(),
        needed: section.sh_offset(endian).saturating_add(section.sh_size(endian)),
        length,
    })?;
    let offset = symbol.st_value(endian).checked_sub(section.sh_addr(endian));
    let bytes = offset.and_then(|o| bytes.get(usize::try_from(o).ok()?..));
    let bytes = bytes.ok_or_else(|| damaged(format!("'{ENTRY_SYMBOL}' lies outside of its section")))?;

    check(file, bytes, host)?;
    let field = |offset: usize, len: usize| text(&bytes[offset..offset + len]);
    let plugins = field(offset_of!(Manifest, plugins), PLUGINS_LEN);
    let plugins =
        plugins.lines().map(|line| listed(line).ok_or_else(|| damaged(format!("it lists '{line}'"))));
    Ok(FileManifest {
        sdk_version: field(offset_of!(Manifest, sdk_version), 16),
        plugins: plugins.collect::<Result<_, _>>()?,
        needed: dynamic_texts(&sections, endian, data, &[DT_NEEDED]).map_err(unparsed)?,
        beside: dynamic_texts(&sections, endian, data, &[DT_RUNPATH, DT_RPATH])
            .map_err(unparsed)?
            .iter()
            .flat_map(|paths| paths.split(':'))
            .filter_map(|path| path.strip_prefix("$ORIGIN").or_else(|| path.strip_prefix("${ORIGIN}")))
            .map(|path| PathBuf::from(path.trim_start_matches('/')))
            .collect(),
    })
}

/// The symbol of the library's table, among those that it exports.
fn entry_symbol<'data, R: ReadRef<'data>>(
    sections: &SectionTable<'data, Elf, R>,
    endian: Endianness,
    data: R,
) -> object::Result<Option<&'data <Elf as FileHeader>::Sym>> {
    let symbols = sections.symbols(endian, data, SHT_DYNSYM)?;
    if symbols.is_empty() {
        return Ok(None);
    }
    // `symbol_name` would go to the file for each of them.
    let names = sections.section(symbols.string_section())?.data(endian, data)?;
    let is_entry = |symbol: &&<Elf as FileHeader>::Sym| {
        let name = names
            .get(symbol.st_name(endian) as usize..)
            .and_then(|n| n.strip_prefix(ENTRY_SYMBOL.as_bytes()));
        name.is_some_and(|rest| rest.first() == Some(&0)) && !symbol.is_undefined(endian)
    };
    Ok(symbols.iter().find(is_entry))
}

/// The texts of these tags for the system's loader.
fn dynamic_texts<'data, R: ReadRef<'data>>(
    sections: &SectionTable<'data, Elf, R>,
    endian: Endianness,
    data: R,
    tags: &[DynamicTag],
) -> object::Result<Vec<String>> {
    let Some((dynamic, link)) = sections.dynamic(endian, data)? else { return Ok(Vec::new()) };
    let strings = sections.section(link)?.data(endian, data)?;
    let needed = dynamic.iter().filter(|d| tags.contains(&d.tag(endian)));
    // An index beyond the strings would be refused by the system's loader.
    let name = |at: u64| strings.get(usize::try_from(at).ok()?..).map(text);
    Ok(needed.filter_map(|d| name(d.d_val(endian))).collect())
}

/// Compares the manifest with the host, field by field, the most telling difference first.
fn check(file: &Path, bytes: &[u8], host: &Identity) -> Result<(), Refusal> {
    let damaged = |reason: String| Refusal::DamagedManifest { file: file.into(), reason };
    let word = |offset: usize| {
        let word = bytes.get(offset..offset + 4)?;
        Some(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
    };
    let magic = bytes.get(..MAGIC.len()).ok_or_else(|| damaged("it is cut off".into()))?;
    if magic != MAGIC {
        return Err(damaged("it does not begin as a manifest does".into()));
    }
    let theirs = word(offset_of!(Manifest, abi_version)).ok_or_else(|| damaged("it is cut off".into()))?;
    if theirs != ABI_VERSION {
        let sdk = bytes
            .get(offset_of!(Manifest, sdk_version)..)
            .map_or_else(String::new, |b| text(&b[..16.min(b.len())]));
        return Err(Refusal::OtherBoundary { file: file.into(), theirs, ours: ABI_VERSION, sdk });
    }
    if word(offset_of!(Manifest, size)) != Some(size_of::<Manifest>() as u32)
        || bytes.len() < size_of::<Manifest>()
    {
        return Err(damaged(format!("its size is not {} bytes", size_of::<Manifest>())));
    }
    let theirs = text(&bytes[offset_of!(Manifest, libtorch_version)..][..16]);
    let ours = host.libtorch_version.clone();
    if !theirs.is_empty() && theirs != ours {
        return Err(Refusal::OtherLibtorch { file: file.into(), theirs, ours });
    }
    let theirs = text(&bytes[offset_of!(Manifest, target)..][..48]);
    let ours = host.target.clone();
    if theirs != ours {
        return Err(Refusal::OtherMachine { file: file.into(), theirs, ours });
    }
    let needed = text(&bytes[offset_of!(Manifest, features)..][..FEATURES_LEN]);
    if let Some(unknown) = needed.lines().find(|feature| !FEATURES.contains(feature)) {
        return Err(Refusal::NeedsFeature { file: file.into(), feature: unknown.to_owned() });
    }
    Ok(())
}

fn listed(line: &str) -> Option<PluginInfo> {
    let mut fields = line.split('\t');
    let (kind, name) = fields.next()?.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|k| k.name() == kind)?;
    Some(PluginInfo {
        kind,
        name: name.to_owned(),
        version: fields.next()?.to_owned(),
        description: fields.next()?.to_owned(),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(target_arch = "x86_64")]
const OUR_MACHINE: Machine = object::elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const OUR_MACHINE: Machine = object::elf::EM_AARCH64;

fn machine(number: Machine) -> String {
    match number {
        object::elf::EM_X86_64 => "x86_64".into(),
        object::elf::EM_AARCH64 => "aarch64".into(),
        object::elf::EM_386 => "32-bit x86".into(),
        object::elf::EM_ARM => "32-bit ARM".into(),
        object::elf::EM_RISCV => "RISC-V".into(),
        object::elf::EM_PPC64 => "PowerPC".into(),
        object::elf::EM_S390 => "s390".into(),
        other => format!("machine {} of the ELF list", other.0),
    }
}
