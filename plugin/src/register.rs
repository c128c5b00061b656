//! One element type per manifest.
//!
//! A Rust subclass is one GType, and manifests are known only at run time. So the
//! Rust type is abstract, and every manifest derives a C-style subclass from it
//! that adds nothing but metadata and pad templates.

use crate::CAT;
use crate::decoder::{ForeignDecoder, picture};
use gst::glib;
use gst::glib::translate::{FromGlib, IntoGlib, ToGlibPtr};
use gst::prelude::*;
use iotdec_bridge::launch::{Resolver, sysroot_candidates};
use iotdec_bridge::library::LIBRARY_DIRECTORIES;
use iotdec_bridge::{Manifest, Overrides, manifest};
use once_cell::sync::Lazy;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, c_void};
use std::str::FromStr;
use std::sync::{Arc, RwLock};

/// The registered decoders, in order of their names.
static DECODERS: Lazy<RwLock<BTreeMap<String, Arc<Registered>>>> = Lazy::new(Default::default);

/// A manifest and what was made of it.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) manifest: Manifest,
    pub(crate) caps: gst::Caps,
    /// What its elements try all the same when someone links them by hand, or has
    /// nothing better: any profile and level.
    pub(crate) tried: gst::Caps,
    pub(crate) element_type: glib::Type,
}

/// Caps without what only tells how well a decoder suits a stream.
fn of_any_profile(caps: &gst::Caps) -> gst::Caps {
    let mut caps = caps.clone();
    for structure in caps.make_mut().iter_mut() {
        structure.remove_fields(["profile", "level", "tier"]);
    }
    caps
}

/// The manifest behind an element type.
pub(crate) fn of_type(element_type: glib::Type) -> Option<Arc<Registered>> {
    let decoders = DECODERS.read().expect("never poisoned");
    decoders
        .values()
        .find(|registered| registered.element_type == element_type)
        .cloned()
}

/// All registered decoders.
pub(crate) fn all() -> Vec<Arc<Registered>> {
    let decoders = DECODERS.read().expect("never poisoned");
    decoders.values().cloned().collect()
}

/// Makes GStreamer load this plugin again when a manifest comes or goes, or when
/// another sysroot is chosen.
pub(crate) fn watch_manifests(plugin: &gst::Plugin) {
    let directories: Vec<_> = manifest::search_path()
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    plugin.add_dependency(
        &[
            manifest::PATH_VARIABLE,
            "XDG_DATA_HOME",
            "IOTDEC_SYSROOT",
            "IOTDEC_WORKER",
            "IOTDEC_QEMU",
            "IOTDEC_ACCEL",
            "IOTDEC_ACCEL_MODE",
        ],
        &directories.iter().map(String::as_str).collect::<Vec<_>>(),
        &[".toml"],
        gst::PluginDependencyFlags::FILE_NAME_IS_SUFFIX,
    );
}

/// And when a decoder's library comes or goes, on which its rank depends.
pub(crate) fn watch_libraries(plugin: &gst::Plugin, manifests: &[Manifest]) {
    // Many decoders may share a library, and GStreamer looks at each dependency.
    let wanted: BTreeSet<_> = manifests
        .iter()
        .filter_map(|manifest| {
            let name = manifest.library.file_name()?.to_str()?;
            Some((manifest.sysroot(), name))
        })
        .collect();
    for (sysroot, name) in wanted {
        // All candidates: the one that is missing yet may come.
        let directories: Vec<_> = sysroot_candidates(sysroot.as_deref())
            .iter()
            .flat_map(|sysroot| LIBRARY_DIRECTORIES.map(|directory| sysroot.join(directory)))
            .map(|directory| directory.to_string_lossy().into_owned())
            .collect();
        plugin.add_dependency(
            &[],
            &directories.iter().map(String::as_str).collect::<Vec<_>>(),
            &[name],
            gst::PluginDependencyFlags::empty(),
        );
    }
}

/// Registers the element of one manifest. One that cannot work here is registered
/// too, so that it can tell why, but never autoplugged.
pub(crate) fn decoder(
    plugin: &gst::Plugin,
    manifest: Manifest,
    resolver: &mut Resolver,
) -> Result<(), glib::BoolError> {
    let caps = gst::Caps::from_str(&manifest.caps)
        .map_err(|_| glib::bool_error!("caps {:?} cannot be parsed", manifest.caps))?;
    if caps.is_any() || caps.is_empty() {
        // It would be tried for everything there is.
        return Err(glib::bool_error!("caps {:?} name no format", manifest.caps));
    }
    let rank = match resolver.resolve(&manifest, &Overrides::default()) {
        Ok(_) => manifest.rank.number(),
        Err(error) => {
            gst::info!(CAT, "{} cannot run here: {error}", manifest.element_name());
            0
        }
    };
    let element_type = derive(&manifest, &caps)?;
    let name = manifest.name.clone();
    let element_name = manifest.element_name();
    let registered = Arc::new(Registered {
        tried: of_any_profile(&caps),
        manifest,
        caps,
        element_type,
    });
    let mut decoders = DECODERS.write().expect("never poisoned");
    decoders.insert(name, registered);
    drop(decoders);
    let rank = gst::Rank::from(i32::from(rank));
    gst::Element::register(Some(plugin), &element_name, rank, element_type)
}

/// What the class initialiser of a derived type writes into its class.
struct ClassData {
    long_name: CString,
    description: CString,
    sink: gst::PadTemplate,
    src: gst::PadTemplate,
}

fn derive(manifest: &Manifest, caps: &gst::Caps) -> Result<glib::Type, glib::BoolError> {
    let type_name = CString::new(format!("GstIotdecDecoder-{}", manifest.name))
        .map_err(|_| glib::bool_error!("name with a zero byte"))?;
    let parent = ForeignDecoder::static_type();
    let template = |name, direction, caps: &gst::Caps| {
        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
    };
    let text = |text: String| CString::new(text).unwrap_or_default();
    let data = Box::new(ClassData {
        long_name: text(manifest.long_name.clone()),
        description: text(format!(
            "Decodes with the aarch64 library {}",
            manifest.library.display()
        )),
        sink: template("sink", gst::PadDirection::Sink, caps)?,
        src: template("src", gst::PadDirection::Src, &picture::raw_caps())?,
    });
    // SAFETY: `query` is plain data that g_type_query fills. The sizes are the
    // parent's, whose instance and class the derived type uses unchanged. The class
    // data is leaked on purpose: the type, being static, lives as long as the
    // process, and `class_init` may run at any time in it.
    let derived = unsafe {
        let mut query = std::mem::zeroed::<glib::gobject_ffi::GTypeQuery>();
        glib::gobject_ffi::g_type_query(parent.into_glib(), &mut query);
        let info = glib::gobject_ffi::GTypeInfo {
            class_size: query.class_size as u16,
            base_init: None,
            base_finalize: None,
            class_init: Some(class_init),
            class_finalize: None,
            class_data: Box::into_raw(data) as *const c_void,
            instance_size: query.instance_size as u16,
            n_preallocs: 0,
            instance_init: None,
            value_table: std::ptr::null(),
        };
        glib::Type::from_glib(glib::gobject_ffi::g_type_register_static(
            parent.into_glib(),
            type_name.as_ptr(),
            &info,
            0,
        ))
    };
    if derived.is_valid() {
        Ok(derived)
    } else {
        Err(glib::bool_error!("cannot register {type_name:?}"))
    }
}

unsafe extern "C" fn class_init(class: *mut c_void, data: *mut c_void) {
    // SAFETY: GObject calls this with the class of a type that `derive` registered
    // (an element class) and with the data given there.
    unsafe {
        let data = &*(data as *const ClassData);
        let class = class as *mut gst::ffi::GstElementClass;
        gst::ffi::gst_element_class_set_metadata(
            class,
            data.long_name.as_ptr(),
            c"Codec/Decoder/Video".as_ptr(),
            data.description.as_ptr(),
            c"The iotdec developers".as_ptr(),
        );
        gst::ffi::gst_element_class_add_pad_template(class, data.sink.to_glib_full());
        gst::ffi::gst_element_class_add_pad_template(class, data.src.to_glib_full());
    }
}
