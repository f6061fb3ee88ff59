//! libaugur_torch, which holds training and inference, found and opened.
//!
//! libtorch is opened before it, so that one can say clearly what is missing or of the wrong version; CUDA's part of it must come
//! right after, or CUDA stays off for the process. Where the process has a libtorch (a Python that imported torch), a
//! second one would end it: the one that is there is taken, if its version fits.

use augur_core::{Error, Result};
use libloading::os::unix::{Library as Object, Symbol, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{c_char, c_void, CStr, OsStr};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

/// Names the library, where it does not lie beside the plugin or in `../lib` of the command.
pub const VARIABLE: &str = "AUGUR_TORCH";
/// Names the folder of a libtorch other than the one beside the library.
pub const LIBTORCH_VARIABLE: &str = "AUGUR_LIBTORCH";

/// Version of the functions that this build calls.
const ABI: u64 = 2;
/// libtorch's own version number, less its patch.
const LIBTORCH: u64 = 0x020b;
const NAME: &str = "libaugur_torch.so";

/// Whether libtorch's part for CUDA is opened, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuda {
    /// No.
    No,
    /// Where it is there.
    Maybe,
    /// Yes, or it is an error.
    Yes,
}

/// The open library. It is never closed: libtorch does not bear that.
#[derive(Debug)]
pub struct Library {
    own: ManuallyDrop<Object>,
    path: PathBuf,
}

impl Library {
    /// Finds and opens the library, and what it needs.
    ///
    /// # Errors
    /// What is missing or of another version, and what to do.
    pub fn open(cuda: Cuda) -> Result<Self> {
        let path = find()?;
        let libtorch = std::env::var_os(LIBTORCH_VARIABLE)
            .map(PathBuf::from)
            .or_else(|| Some(path.parent()?.join("torch")).filter(|p| p.join("lib").is_dir()));
        let cpu = match (present("libtorch_cpu.so"), &libtorch) {
            (Some(cpu), _) => Some((cpu, "the libtorch of this process".to_owned())),
            (None, Some(folder)) => {
                Some((open(&folder.join("lib/libtorch_cpu.so"))?, folder.display().to_string()))
            }
            (None, None) => None,
        };
        if let Some((cpu, name)) = &cpu {
            // SAFETY: the function takes nothing and gives a number, in every version that has it.
            let version = unsafe {
                cpu.get::<unsafe extern "C" fn() -> u64>(b"aoti_torch_abi_version\0").map_or(0, |v| v())
            };
            if version >> 48 != LIBTORCH {
                return Err(Error::compatibility(format!(
                    "{name} is of version {}.{}, and {NAME} is made for {}.{}",
                    version >> 56,
                    version >> 48 & 255,
                    LIBTORCH >> 8,
                    LIBTORCH & 255
                )));
            }
        }
        if let (Some(folder), true) = (&libtorch, cuda != Cuda::No) {
            if present("libtorch_cuda.so").is_none() {
                match open(&folder.join("lib/libtorch_cuda.so")) {
                    Ok(object) => std::mem::forget(object),
                    Err(e) if cuda == Cuda::Yes => return Err(e),
                    Err(_) => {}
                }
            }
        }
        std::mem::forget(cpu);
        let library = Self { own: ManuallyDrop::new(open(&path)?), path };
        // SAFETY: the function takes nothing and gives a string that ends in 0, in every version of the library.
        let version = unsafe {
            let version = library.get::<unsafe extern "C" fn() -> *const c_char>(c"augur_torch_version")?;
            CStr::from_ptr(version()).to_string_lossy().into_owned()
        };
        let abi = version.split("\"abi\": ").nth(1).and_then(|v| v.split([',', '}']).next());
        if abi.and_then(|v| v.trim().parse().ok()) != Some(ABI) {
            return Err(Error::compatibility(format!(
                "{} is of another version than this program: run `make torch` again",
                library.path.display()
            )));
        }
        Ok(library)
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `T` is its type.
    ///
    /// # Errors
    /// That there is none of this name.
    pub unsafe fn get<T: Copy>(&self, name: &CStr) -> Result<T> {
        // SAFETY: the caller's promise.
        unsafe { self.own.get(name.to_bytes_with_nul()) }
            .map(|symbol: Symbol<T>| *symbol)
            .map_err(|e| Error::compatibility(format!("{}: {e}", self.path.display())))
    }
}

fn open(path: &Path) -> Result<Object> {
    // SAFETY: libraries of this project and of libtorch; their initialisers may run in any process.
    unsafe { Object::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|e| Error::invalid(format!("{} cannot be opened: {e}", path.display())))
}

/// The library of this name, if the process has it.
fn present(name: &str) -> Option<Object> {
    // SAFETY: nothing is loaded, and so nothing is run.
    unsafe { Object::open(Some(OsStr::new(name)), RTLD_NOW | libc::RTLD_NOLOAD) }.ok()
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
        return Ok(path.into());
    }
    places().into_iter().map(|folder| folder.join(NAME)).find(|p| p.exists()).ok_or_else(|| {
        Error::invalid(format!(
            "{NAME} is not there: run `make torch` (it downloads libtorch, 540 MB), or name the library in {VARIABLE}"
        ))
    })
}

/// The folders that the library may lie in: `lib` beside the folder of the command or of the plugin, the plugin's own
/// folder, and, for a plugin in `lib/hdf5/plugin`, that `lib`.
fn places() -> Vec<PathBuf> {
    let here = crate::host::object(places as *const c_void).map(|(name, _)| name);
    // SAFETY: the loader's own name of a loaded object, which ends in 0.
    let here =
        here.filter(|n| !n.is_null()).map(|n| unsafe { CStr::from_ptr(n) }.to_string_lossy().into_owned());
    let plugin = here.map(PathBuf::from).filter(|p| p.extension().is_some());
    let file = plugin.clone().or_else(|| std::env::current_exe().ok()).and_then(|p| p.canonicalize().ok());
    let Some(folder) = file.as_deref().and_then(Path::parent) else { return vec![] };
    let mut places: Vec<PathBuf> = folder.parent().map(|f| f.join("lib")).into_iter().collect();
    if plugin.is_some() {
        places.push(folder.to_owned());
        if folder.ends_with("hdf5/plugin") {
            places.extend(folder.ancestors().nth(2).map(Path::to_owned));
        }
    }
    places
}
