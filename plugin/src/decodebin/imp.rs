//! parsebin, which types, demuxes and parses, and behind its first video pad the
//! decoder that fits. The source pad is there from the start, without a target,
//! so that `filesrc ! iotdec ! autovideosink` links at once.

use crate::CAT;
use crate::register::{self, Registered};
use crate::settings::{self, Settings};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use once_cell::sync::Lazy;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Debug, Default)]
pub(crate) struct IotdecBin {
    settings: Mutex<Settings>,
    /// The decoder to use instead of the best-ranked one, by name.
    wanted: Mutex<Option<String>>,
    parsebin: Mutex<Option<gst::Element>>,
    decoder: Mutex<Option<gst::Element>>,
    /// The decoder and what stands around it; made anew for each stream.
    chain: Mutex<Vec<gst::Element>>,
    /// An error was passed on since the bin was last started.
    failed: AtomicBool,
}

impl IotdecBin {
    fn src_pad(&self) -> gst::GhostPad {
        let pad = self
            .obj()
            .static_pad("src")
            .expect("added when constructed");
        pad.downcast().expect("added as a ghost pad")
    }

    /// A parsed stream appeared: decode it if it is the first video.
    fn stream_found(&self, pad: &gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        gst::debug!(CAT, imp = self, "Stream {caps:?} on {}", pad.name());
        let name = caps.structure(0).map(|structure| structure.name().as_str());
        let is_picture = name.is_some_and(|n| n.starts_with("video/") || n.starts_with("image/"));
        if !is_picture || lock(&self.decoder).is_some() {
            return;
        }
        if let Err(message) = self.decode(pad, &caps)
            && self.is_first_failure()
        {
            self.post_error_message(message);
        }
    }

    /// All streams are known: without video, nothing will ever come out.
    fn streams_known(&self, streams: &gst::StreamCollection) {
        let is_video = |stream: &gst::Stream| {
            let video = gst::StreamType::VIDEO | gst::StreamType::UNKNOWN;
            stream.stream_type().intersects(video)
        };
        if streams.iter().any(|stream| is_video(&stream)) || !self.is_first_failure() {
            return;
        }
        let found = streams.iter().filter_map(|stream| stream.caps());
        let found: Vec<_> = found.map(|caps| media_types(&caps)).collect();
        self.post_error_message(gst::error_msg!(
            gst::StreamError::WrongType,
            (
                "There is no video in this stream, only {}; give one that holds one of: {}",
                found.join(", "),
                list(&register::all())
            )
        ));
    }

    /// One failure is one error: others are its consequences, as when a source
    /// complains of a stream that was not linked.
    fn is_first_failure(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    /// Builds `[parser !] decoder ! videoconvert` behind a stream.
    fn decode(&self, pad: &gst::Pad, caps: &gst::Caps) -> Result<(), gst::ErrorMessage> {
        let registered = self.choose(caps)?;
        let name = registered.manifest.element_name();
        let decoder = self.add(&name)?;
        self.configure(&decoder);
        // Sinks such as ximagesink take only RGB. Where the sink takes what the
        // decoder makes, this passes buffers and allocation queries through.
        let convert = self.add("videoconvert")?;
        // What is late was paid for already; the sink shows it or not.
        convert.set_property("qos", false);
        let mut chain = vec![decoder.clone(), convert.clone()];
        // parsebin leaves the stream format that its parser likes best; parsers
        // convert between them. And it does without one that has no rank, jpegparse.
        if !caps.is_subset(&registered.tried) {
            chain.insert(0, self.add(parser_of(caps)?.name().as_str())?);
        }
        *lock(&self.decoder) = Some(decoder);
        let unlinked = || failed(&format!("link {caps} to {name}"));
        gst::Element::link_many(&chain).map_err(|_| unlinked())?;
        let src = convert.static_pad("src");
        let exposed = self.src_pad().set_target(src.as_ref());
        exposed.map_err(|_| unlinked())?;
        // From the end, so that nobody pushes into an element that is not ready. One
        // that cannot start has posted why; nothing to add to that.
        let ready = chain
            .iter()
            .rev()
            .all(|e| e.sync_state_with_parent().is_ok());
        if ready {
            let entry = chain[0]
                .static_pad("sink")
                .expect("parsers and decoders have one");
            pad.link(&entry).map_err(|_| unlinked())?;
        }
        Ok(())
    }

    /// Adds an element to the bin, to be removed with the stream.
    fn add(&self, factory: &str) -> Result<gst::Element, gst::ErrorMessage> {
        let element = gst::ElementFactory::make(factory)
            .build()
            .map_err(|_| failed(&format!("make element {factory}")))?;
        self.obj()
            .add(&element)
            .map_err(|_| failed(&format!("add element {factory}")))?;
        lock(&self.chain).push(element.clone());
        Ok(element)
    }

    /// The decoder of these caps: the one asked for, or the best-ranked that can
    /// run here.
    fn choose(&self, caps: &gst::Caps) -> Result<Arc<Registered>, gst::ErrorMessage> {
        let decoders = register::all();
        if let Some(name) = &*lock(&self.wanted) {
            let found = decoders.iter().find(|d| d.manifest.name == *name);
            return found.cloned().ok_or_else(|| {
                gst::error_msg!(
                    gst::LibraryError::Settings,
                    ("There is no decoder {name}; there are: {}", list(&decoders))
                )
            });
        }
        // The parser converts between stream formats when it is linked, so only the
        // format itself decides here. A profile that none is made for is tried all the
        // same: to show what can be shown is what the user asked for.
        let mut fitting: Vec<_> = decoders.iter().filter(|d| fits(caps, &d.caps)).collect();
        let suits = |d: &Registered| has_profile_of(caps, &d.caps);
        fitting.sort_by_key(|d| std::cmp::Reverse((suits(d), d.rank(), d.manifest.rank.number())));
        fitting.first().map(|d| Arc::clone(d)).ok_or_else(|| {
            gst::error_msg!(
                gst::StreamError::CodecNotFound,
                (
                    "No decoder for {}; there are: {}. A manifest in one of the directories \
                     of IOTDEC_DECODER_PATH adds one",
                    media_types(caps),
                    list(&decoders)
                ),
                ["{caps}"]
            )
        })
    }

    /// Hands the shared properties on.
    fn configure(&self, decoder: &gst::Element) {
        let settings = lock(&self.settings);
        for spec in settings::property_specs() {
            if spec.flags().contains(glib::ParamFlags::WRITABLE) {
                decoder.set_property_from_value(spec.name(), &settings.get(spec.name()));
            }
        }
    }

    /// What types, demuxes and parses.
    fn make_parsebin(&self) -> Result<gst::Element, glib::BoolError> {
        let parsebin = gst::ElementFactory::make("parsebin").build()?;
        let weak = self.obj().downgrade();
        parsebin.connect_pad_added(move |_, pad| {
            if let Some(bin) = weak.upgrade() {
                bin.imp().stream_found(pad);
            }
        });
        Ok(parsebin)
    }

    /// Undoes what the last stream made, so that the next can be another one.
    fn forget_stream(&self) {
        let _ = self.src_pad().set_target(None::<&gst::Pad>);
        *lock(&self.decoder) = None;
        let chain = std::mem::take(&mut *lock(&self.chain));
        for element in chain {
            let _ = element.set_state(gst::State::Null);
            let _ = self.obj().remove(&element);
        }
    }
}

impl Registered {
    /// The rank in force, which GST_PLUGIN_FEATURE_RANK may have changed.
    fn rank(&self) -> gst::Rank {
        gst::ElementFactory::find(&self.manifest.element_name())
            .map_or(gst::Rank::NONE, |factory| factory.rank())
    }
}

fn failed(what: &str) -> gst::ErrorMessage {
    gst::error_msg!(gst::CoreError::Failed, ("Cannot {what}"))
}

/// The best-ranked parser of these caps.
fn parser_of(caps: &gst::Caps) -> Result<gst::ElementFactory, gst::ErrorMessage> {
    let parsers =
        gst::ElementFactory::factories_with_type(gst::ElementFactoryType::PARSER, gst::Rank::NONE);
    let found = parsers.iter().find(|parser| parser.can_sink_any_caps(caps));
    found.cloned().ok_or_else(|| {
        gst::error_msg!(
            gst::CoreError::MissingPlugin,
            ("No parser converts {caps}; install gstreamer1.0-plugins-bad")
        )
    })
}

/// Whether a decoder is for the format of these caps, in whatever form it comes.
fn fits(caps: &gst::Caps, decoder: &gst::Caps) -> bool {
    /// What a parser changes, and what only some streams of a format keep to.
    const FORM: [&str; 7] = [
        "stream-format",
        "alignment",
        "parsed",
        "framed",
        "profile",
        "level",
        "tier",
    ];
    let format = |caps: &gst::Caps| -> gst::Caps {
        let structures = caps.iter().map(gst::StructureRef::to_owned);
        structures
            .map(|mut structure| {
                structure.remove_fields(FORM);
                structure
            })
            .collect()
    };
    format(caps).can_intersect(&format(decoder))
}

/// Whether a decoder is made for the profile of these caps, as far as both tell.
fn has_profile_of(caps: &gst::Caps, decoder: &gst::Caps) -> bool {
    let profile = |structure: &gst::StructureRef| {
        let value = structure.value("profile").ok()?;
        let mut only = gst::Structure::new_empty(structure.name());
        only.set_value("profile", value.clone());
        Some(only)
    };
    let reduced = |caps: &gst::Caps| -> gst::Caps {
        let named = |s: &gst::StructureRef| {
            profile(s).unwrap_or_else(|| gst::Structure::new_empty(s.name()))
        };
        caps.iter().map(named).collect()
    };
    reduced(caps).can_intersect(&reduced(decoder))
}

/// The decoders with what they decode, for people: one by one, but those of a library
/// with very many only as a number.
fn list(decoders: &[Arc<Registered>]) -> String {
    /// More of one manifest are not read.
    const MOST: usize = 6;
    let mut files = BTreeMap::<_, Vec<_>>::new();
    for decoder in decoders {
        let file = &decoder.manifest.file;
        files.entry(file).or_default().push(decoder);
    }
    let entry = |d: &&Arc<Registered>| format!("{} ({})", media_types(&d.caps), d.manifest.name);
    let of_file = |decoders: &Vec<&Arc<Registered>>| match &decoders[..] {
        [first, .., last] if decoders.len() > MOST => {
            let (first, last) = (&first.manifest.name, &last.manifest.name);
            format!("{} formats ({first} to {last})", decoders.len())
        }
        few => few.iter().map(entry).collect::<Vec<_>>().join(", "),
    };
    files.values().map(of_file).collect::<Vec<_>>().join(", ")
}

fn media_types(caps: &gst::Caps) -> String {
    let mut names: Vec<_> = caps.iter().map(|s| s.name().to_string()).collect();
    names.dedup();
    names.join(", ")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("never poisoned")
}

#[glib::object_subclass]
impl ObjectSubclass for IotdecBin {
    const NAME: &'static str = "GstIotdecBin";
    type Type = super::IotdecBin;
    type ParentType = gst::Bin;
}

impl ObjectImpl for IotdecBin {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: Lazy<Vec<glib::ParamSpec>> = Lazy::new(|| {
            let decoder = glib::ParamSpecString::builder("decoder")
                .nick("Decoder")
                .blurb("Name of the decoder to use (default: the best-ranked that fits)")
                .mutable_ready()
                .build();
            [decoder]
                .into_iter()
                .chain(settings::property_specs())
                .collect()
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        match spec.name() {
            "decoder" => *lock(&self.wanted) = settings::string(value),
            name => {
                lock(&self.settings).set(name, value);
                if let Some(decoder) = &*lock(&self.decoder) {
                    decoder.set_property_from_value(name, value);
                }
            }
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "decoder" => lock(&self.wanted).to_value(),
            "stats" => {
                let decoder = lock(&self.decoder);
                let stats = decoder
                    .as_ref()
                    .map(|d| d.property::<gst::Structure>("stats"));
                stats.to_value()
            }
            name => lock(&self.settings).get(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        let class = obj.class();
        for name in ["sink", "src"] {
            let template = class.pad_template(name).expect("templates are static");
            let pad = gst::GhostPad::from_template(&template);
            obj.add_pad(&pad).expect("the names are unique");
        }
    }
}

impl GstObjectImpl for IotdecBin {}

impl ElementImpl for IotdecBin {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: Lazy<gst::subclass::ElementMetadata> = Lazy::new(|| {
            gst::subclass::ElementMetadata::new(
                "Foreign video decoder",
                "Codec/Decoder/Video",
                "Decodes the video of any file or stream with an aarch64 library",
                "The iotdec developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: Lazy<Vec<gst::PadTemplate>> = Lazy::new(|| {
            let always = gst::PadPresence::Always;
            let any = gst::Caps::new_any();
            let raw = crate::decoder::picture::raw_caps();
            vec![
                gst::PadTemplate::new("sink", gst::PadDirection::Sink, always, &any)
                    .expect("valid caps"),
                gst::PadTemplate::new("src", gst::PadDirection::Src, always, &raw)
                    .expect("valid caps"),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        use gst::StateChange::{NullToReady, PausedToReady, ReadyToPaused};
        // Not on the way down: that is where consequences of an error still come.
        if matches!(transition, NullToReady | ReadyToPaused) {
            self.failed.store(false, Ordering::Relaxed);
        }
        if transition == NullToReady && lock(&self.parsebin).is_none() {
            let made = self.make_parsebin().and_then(|parsebin| {
                self.obj().add(&parsebin)?;
                let sink = self
                    .obj()
                    .static_pad("sink")
                    .and_downcast::<gst::GhostPad>();
                sink.expect("added when constructed")
                    .set_target(parsebin.static_pad("sink").as_ref())?;
                Ok(parsebin)
            });
            match made {
                Ok(parsebin) => *lock(&self.parsebin) = Some(parsebin),
                Err(error) => {
                    gst::element_imp_error!(
                        self,
                        gst::CoreError::MissingPlugin,
                        ("{error}; install gstreamer1.0-plugins-base")
                    );
                    return Err(gst::StateChangeError);
                }
            }
        }
        let result = self.parent_change_state(transition)?;
        if transition == PausedToReady {
            self.forget_stream();
        }
        Ok(result)
    }
}

impl BinImpl for IotdecBin {
    fn handle_message(&self, message: gst::Message) {
        match message.view() {
            gst::MessageView::StreamCollection(streams) => {
                self.streams_known(&streams.stream_collection());
                self.parent_handle_message(message);
            }
            gst::MessageView::Error(_) if self.is_first_failure() => {
                self.parent_handle_message(self.explained(message));
            }
            gst::MessageView::Error(_) => {
                gst::debug!(CAT, imp = self, "Not passed on, a consequence: {message:?}");
            }
            _ => self.parent_handle_message(message),
        }
    }
}

impl IotdecBin {
    /// What parsebin says of input that it cannot parse, with what it could be.
    fn explained(&self, message: gst::Message) -> gst::Message {
        let gst::MessageView::Error(error) = message.view() else {
            return message;
        };
        let parsebin = lock(&self.parsebin).clone();
        let from_parsebin = |source: &gst::Object| {
            parsebin.is_some_and(|parsebin| source == &parsebin || source.has_ancestor(&parsebin))
        };
        if !message.src().is_some_and(from_parsebin) {
            return message;
        }
        let cause = error.error();
        let is_no_video = [
            gst::StreamError::TypeNotFound,
            gst::StreamError::WrongType,
            gst::StreamError::CodecNotFound,
        ];
        if !is_no_video.iter().any(|kind| cause.matches(*kind)) {
            return message;
        }
        let text = format!(
            "{}; give a file or stream that holds one of: {}",
            cause.message().trim_end_matches('.'),
            list(&register::all())
        );
        let explained = glib::Error::with_domain(cause.domain(), cause.code(), &text);
        gst::message::Error::builder_from_error(explained)
            .debug_if_some(error.debug().as_deref())
            .src_if_some(message.src())
            .build()
    }
}
