//! QEMU's plugin interface, as far as it is used here: declared from its
//! documentation, looked up by name when the plugin is loaded.
//!
//! One plugin serves all versions. They differ in two things: the version that a plugin
//! must ask for, 1 up to QEMU 8, 2 or more from 9.0 on; and
//! `qemu_plugin_insn_data`, which returns a pointer up to version 2 and copies since.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

/// Names this plugin in every call to QEMU.
pub type PluginId = u64;
/// A block of instructions that is being translated.
#[repr(C)]
pub struct Block {
    _opaque: [u8; 0],
}
/// One of its instructions.
#[repr(C)]
pub struct Instruction {
    _opaque: [u8; 0],
}

/// What QEMU tells of itself, up to what is read here.
#[repr(C)]
pub struct Info {
    /// The guest's architecture, such as "aarch64".
    pub target_name: *const c_char,
    /// Lowest version of the interface that QEMU takes.
    pub lowest_version: c_int,
    /// The version that it has.
    pub version: c_int,
    /// Whether a whole machine is emulated.
    pub system_emulation: bool,
}

type OnBlock = unsafe extern "C" fn(PluginId, *mut Block);
type OnAccess = unsafe extern "C" fn(c_uint, u32, u64, *mut c_void);
type OnExecution = unsafe extern "C" fn(c_uint, *mut c_void);
type OnSyscall =
    unsafe extern "C" fn(PluginId, c_uint, i64, u64, u64, u64, u64, u64, u64, u64, u64);

type OnSyscallEnd = unsafe extern "C" fn(PluginId, c_uint, i64, i64);

/// `enum qemu_plugin_cb_flags`: the callback reads and writes no registers.
const NO_REGISTERS: c_int = 0;
/// `enum qemu_plugin_mem_rw`: stores.
const STORES: c_int = 2;

/// Reads an instruction's word, in one of the two ways.
#[derive(Clone, Copy)]
enum InstructionData {
    Points(unsafe extern "C" fn(*const Instruction) -> *const c_void),
    Copies(unsafe extern "C" fn(*const Instruction, *mut c_void, usize) -> usize),
}

/// QEMU's functions.
pub struct Qemu {
    on_block: unsafe extern "C" fn(PluginId, OnBlock),
    on_access: unsafe extern "C" fn(*mut Instruction, OnAccess, c_int, c_int, *mut c_void),
    on_execution: unsafe extern "C" fn(*mut Instruction, OnExecution, c_int, *mut c_void),
    on_syscall: unsafe extern "C" fn(PluginId, OnSyscall),
    on_syscall_end: unsafe extern "C" fn(PluginId, OnSyscallEnd),
    length: unsafe extern "C" fn(*const Block) -> usize,
    instruction: unsafe extern "C" fn(*const Block, usize) -> *mut Instruction,
    data: InstructionData,
    guest_address: unsafe extern "C" fn(*const Instruction) -> u64,
    host_address: unsafe extern "C" fn(*const Instruction) -> *mut c_void,
}

static QEMU: OnceLock<Qemu> = OnceLock::new();

/// QEMU's functions, once [`Qemu::find`] has succeeded.
pub fn qemu() -> &'static Qemu {
    QEMU.get()
        .expect("found before any callback was registered")
}

/// Looks up a function of the program that loaded the plugin.
macro_rules! function {
    ($name:literal) => {{
        let address = symbol($name).ok_or(concat!("QEMU lacks ", $name))?;
        #[expect(
            clippy::missing_transmute_annotations,
            reason = "the field it becomes has the type"
        )]
        // SAFETY: QEMU's function of that name has the type that it is used with here,
        // which its plugin documentation gives.
        let function = unsafe { std::mem::transmute::<*mut c_void, _>(address) };
        function
    }};
}

fn symbol(name: &str) -> Option<*mut c_void> {
    let name = std::ffi::CString::new(name).expect("no zero in a symbol's name");
    // SAFETY: a C string; the main program stays loaded.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

impl Qemu {
    /// Finds everything in the QEMU that loads this plugin; what is missing otherwise.
    ///
    /// # Safety
    /// `info` is what QEMU gave to `qemu_plugin_install`.
    pub unsafe fn find(info: *const Info) -> Result<&'static Self, &'static str> {
        // SAFETY: the caller's promise.
        let info = unsafe { &*info };
        // SAFETY: QEMU gives a C string.
        let target = unsafe { CStr::from_ptr(info.target_name) };
        if target != c"aarch64" || info.system_emulation {
            return Err("only programs for aarch64 are accelerated");
        }
        let found = Self {
            on_block: function!("qemu_plugin_register_vcpu_tb_trans_cb"),
            on_access: function!("qemu_plugin_register_vcpu_mem_cb"),
            on_execution: function!("qemu_plugin_register_vcpu_insn_exec_cb"),
            on_syscall: function!("qemu_plugin_register_vcpu_syscall_cb"),
            on_syscall_end: function!("qemu_plugin_register_vcpu_syscall_ret_cb"),
            length: function!("qemu_plugin_tb_n_insns"),
            instruction: function!("qemu_plugin_tb_get_insn"),
            data: if info.version < 3 {
                InstructionData::Points(function!("qemu_plugin_insn_data"))
            } else {
                InstructionData::Copies(function!("qemu_plugin_insn_data"))
            },
            guest_address: function!("qemu_plugin_insn_vaddr"),
            host_address: function!("qemu_plugin_insn_haddr"),
        };
        Ok(QEMU.get_or_init(|| found))
    }

    /// Has `callback` called for every block that is translated.
    pub fn on_block(&self, id: PluginId, callback: OnBlock) {
        // SAFETY: QEMU's own function; the callback is a function of this plugin, which
        // is never unloaded.
        unsafe { (self.on_block)(id, callback) }
    }

    /// Has `callback` called for every system call, before it is made.
    pub fn on_syscall(&self, id: PluginId, callback: OnSyscall) {
        // SAFETY: as above.
        unsafe { (self.on_syscall)(id, callback) }
    }

    /// Has `callback` called for every system call that returns, with its result.
    pub fn on_syscall_end(&self, id: PluginId, callback: OnSyscallEnd) {
        // SAFETY: as above.
        unsafe { (self.on_syscall_end)(id, callback) }
    }

    /// Has `callback` called with the address of every store of this instruction, after
    /// it is done.
    ///
    /// # Safety
    /// `instruction` is of the block whose translation is being reported.
    pub unsafe fn on_store(&self, instruction: *mut Instruction, callback: OnAccess) {
        let nothing = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        unsafe { (self.on_access)(instruction, callback, NO_REGISTERS, STORES, nothing) }
    }

    /// Has `callback` called before every execution of this instruction.
    ///
    /// # Safety
    /// `instruction` is of the block whose translation is being reported.
    pub unsafe fn on_execution(&self, instruction: *mut Instruction, callback: OnExecution) {
        let nothing = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        unsafe { (self.on_execution)(instruction, callback, NO_REGISTERS, nothing) }
    }

    /// The instructions of a block with their words.
    ///
    /// # Safety
    /// `block` is the one whose translation is being reported.
    pub unsafe fn instructions(
        &self,
        block: *const Block,
    ) -> impl Iterator<Item = (*mut Instruction, u32)> + '_ {
        // SAFETY: the caller's promise; so for the indices below.
        let length = unsafe { (self.length)(block) };
        (0..length).map(move |index| {
            // SAFETY: as above.
            let instruction = unsafe { (self.instruction)(block, index) };
            (instruction, self.word(instruction))
        })
    }

    fn word(&self, instruction: *const Instruction) -> u32 {
        let mut word = 0u32;
        match self.data {
            // SAFETY: an A64 instruction is four bytes; QEMU keeps them while it
            // translates the block.
            InstructionData::Points(data) => unsafe {
                word = data(instruction).cast::<u32>().read_unaligned();
            },
            // SAFETY: no more than `word` holds is copied.
            InstructionData::Copies(data) => unsafe {
                data(instruction, (&raw mut word).cast(), size_of_val(&word));
            },
        }
        u32::from_le(word)
    }

    /// What to add to an address of the guest for it to be one of the host.
    ///
    /// # Safety
    /// `instruction` is of the block whose translation is being reported.
    pub unsafe fn guest_base(&self, instruction: *const Instruction) -> u64 {
        // SAFETY: the caller's promise.
        let (host, guest) = unsafe {
            let host = (self.host_address)(instruction);
            (host, (self.guest_address)(instruction))
        };
        (host as u64).wrapping_sub(guest)
    }
}

/// The version of the interface that this plugin asks for. QEMU reads it after it has
/// loaded the plugin, [`ask_for_version`] sets it while it does.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static mut qemu_plugin_version: c_int = 1;

/// Scoreboards came with version 2 of the interface, which is the lowest that QEMU 9.0
/// and later take; what is used here has not changed since but for the way to read
/// instructions.
extern "C" fn ask_for_version() {
    if symbol("qemu_plugin_scoreboard_new").is_some() {
        // SAFETY: the dynamic linker runs this before anyone else knows of the plugin.
        unsafe { qemu_plugin_version = 2 };
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static ASK_FOR_VERSION: extern "C" fn() = ask_for_version;
