//! What libraries that have something to do take, in QEMU alone and in turbo.

use super::result::Work;
use crate::bench::statistics::Summary;
use crate::failure::Failure;
use crate::interrupt;
use iotdec_bridge::Wish;
use iotdec_bridge::dynamic::{Function, Library, Memory, Options, Signature, Type, Value};
use std::path::PathBuf;
use std::time::Instant;

/// The two ways, in the order in which results have them.
const WAYS: [Wish; 2] = [Wish::Off, Wish::Turbo];

/// Does something, and gives what came of it.
type Task = Box<dyn Fn() -> Result<Vec<u8>, Failure>>;
type MakeTask = fn(&Open<'_>, usize) -> Result<Task, Failure>;

/// Each with the library, and how often it is done at a time.
const TASKS: [(&str, &str, usize, MakeTask); 6] = [
    ("zlib, compress 10 MB", "libz.so.1", 1, compress),
    ("zlib, decompress 10 MB", "libz.so.1", 5, decompress),
    (
        "SQLite, insert and search 100,000 rows",
        "libsqlite3.so.0",
        1,
        rows,
    ),
    ("libpng, decode 1280×720", "libpng16.so.16", 10, png),
    (
        "libjpeg-turbo, decode 1280×720",
        "libturbojpeg.so.0",
        10,
        jpeg,
    ),
    ("Opus, encode 10 s", "libopus.so.0", 1, opus),
];

/// Measures everything in turns. With `is_short`, with a hundredth of the data: to see that it
/// works.
pub fn measure(rounds: u32, is_short: bool) -> Result<Vec<Work>, Failure> {
    let mut results = Vec::new();
    for (name, library, times, make) in TASKS {
        let open = |accel| {
            let options = Options {
                // Its name: beside the default one, or that.
                sysroot: Some(PathBuf::from("libraries")),
                accel: Some(accel),
                ..Options::default()
            };
            Library::open(library, &options)
        };
        let [plain, turbo] = match WAYS.map(open) {
            [Ok(plain), Ok(turbo)] => [plain, turbo],
            [Err(why), _] | [_, Err(why)] => {
                eprintln!("{name}: not measured: {why} (make sysroot-libraries fetches libraries)");
                continue;
            }
        };
        let part = if is_short { 100 } else { 1 };
        let tasks = [make(&Open(&plain), part)?, make(&Open(&turbo), part)?];
        // Also, the first time, what is translated is not counted.
        if tasks[0]()? != tasks[1]()? {
            return Err(Failure::new(
                format!("{name}: turbo gives another result than QEMU alone"),
                "That is a mistake of the accelerator: IOTDEC_ACCEL_MODE=native does without turbo; \
                 please report it",
            ));
        }
        let mut ms = [Vec::new(), Vec::new()];
        for round in 0..rounds as usize {
            for turn in 0..2 {
                let way = (round + turn) % 2;
                let start = Instant::now();
                for _ in 0..times {
                    tasks[way]()?;
                }
                ms[way].push(start.elapsed().as_secs_f64() * 1e3 / times as f64);
                interrupt::check()?;
            }
        }
        let faster = Summary::of_ratios(&ms[0], &ms[1]);
        let [plain, turbo] = ms.map(Summary::of);
        if let (Some(plain), Some(turbo), Some(faster)) = (plain, turbo, faster) {
            results.push(Work {
                work: name,
                plain,
                turbo,
                faster,
            });
        }
    }
    Ok(results)
}

/// A library whose functions are asked for by name.
struct Open<'a>(&'a Library);

const P: Type = Type::Pointer;
const I: Type = Type::I32;
const L: Type = Type::U64;

impl Open<'_> {
    fn function(&self, name: &'static str, result: Type, takes: &[Type]) -> Result<Named, Failure> {
        let signature = Signature::new(result, takes.iter().cloned())?;
        let function = self.0.function(name, signature)?;
        Ok(Named { name, function })
    }

    fn room(&self, size: usize) -> Result<Memory<u8>, Failure> {
        Ok(self.0.allocate(size)?)
    }
}

/// A function that can be told of.
struct Named {
    name: &'static str,
    function: Function,
}

impl Named {
    fn call(&self, arguments: &[Value]) -> Result<Value, Failure> {
        Ok(self.function.call(arguments)?)
    }

    /// A call that must return this.
    fn returns(&self, expected: i128, arguments: &[Value]) -> Result<(), Failure> {
        let result = self.call(arguments)?;
        match result.integer() {
            Some(number) if number == expected => Ok(()),
            _ => Err(self.unexpected(&result)),
        }
    }

    /// A call that returns a pointer.
    fn pointer(&self, arguments: &[Value]) -> Result<u64, Failure> {
        let result = self.call(arguments)?;
        match result.pointer() {
            Some(address) if address != 0 => Ok(address),
            _ => Err(self.unexpected(&result)),
        }
    }

    /// A call that returns how much there is.
    fn size(&self, arguments: &[Value]) -> Result<u64, Failure> {
        let result = self.call(arguments)?;
        let size = result.integer().and_then(|size| u64::try_from(size).ok());
        size.filter(|size| *size > 0)
            .ok_or_else(|| self.unexpected(&result))
    }

    fn unexpected(&self, result: &Value) -> Failure {
        Failure::new(
            format!("{} failed: it returned {result:?}", self.name),
            "Remove .deps/sysroot-libraries and run make sysroot-libraries, which fetches the libraries \
             anew; if it fails again, please report it",
        )
    }
}

fn first(memory: &Memory<u8>, size: u64) -> Vec<u8> {
    let mut bytes = memory.read();
    bytes.truncate(size as usize);
    bytes
}

/// Numbers that only look random, the same each time.
fn numbers() -> impl FnMut() -> u32 {
    let mut state = 1u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    }
}

/// Words of all lengths.
fn text(size: usize) -> Vec<u8> {
    let mut number = numbers();
    let words: Vec<Vec<u8>> = (0..2000)
        .map(|_| {
            let length = 2 + number() % 9;
            (0..length)
                .map(|_| b'a' + (number() % 26) as u8)
                .chain([b' '])
                .collect()
        })
        .collect();
    let mut text = Vec::with_capacity(size + 16);
    while text.len() < size {
        // Small numbers more often, as in any language.
        let most = 1 + number() % words.len() as u32;
        text.extend(&words[(number() % most) as usize]);
    }
    text.truncate(size);
    text
}

/// A picture with edges, slopes and noise: three bytes for a pixel.
fn picture(width: usize, height: usize) -> Vec<u8> {
    let mut number = numbers();
    let pixel = |at: usize| {
        let (x, y) = (at % width, at / width);
        let edge = if (x / 40 + y / 30).is_multiple_of(2) {
            60
        } else {
            0
        };
        [x / 8, y / 4, (x + y) / 10].map(|slope| (slope + edge) as u8)
    };
    let pixels = (0..width * height).flat_map(pixel);
    pixels
        .map(|value| value.wrapping_add((number() % 8) as u8))
        .collect()
}

/// zlib's functions on 10 MB: `compress2`, `uncompress`, and the memory for them.
struct Zlib {
    compress: Named,
    uncompress: Named,
    plain: Memory<u8>,
    packed: Memory<u8>,
    size: Memory<u64>,
}

impl Zlib {
    fn new(library: &Open<'_>, part: usize) -> Result<Self, Failure> {
        let plain = text(10_000_000 / part);
        Ok(Self {
            compress: library.function("compress2", I, &[P, P, P, L, I])?,
            uncompress: library.function("uncompress", I, &[P, P, P, L])?,
            packed: library.room(plain.len() * 2)?,
            plain: library.0.share(&plain)?,
            size: library.0.allocate(1)?,
        })
    }

    fn compress(&self) -> Result<u64, Failure> {
        self.size.write(&[self.packed.len() as u64]);
        let [to, size, from] = [
            (&self.packed).into(),
            (&self.size).into(),
            (&self.plain).into(),
        ];
        self.compress
            .returns(0, &[to, size, from, self.plain.len().into(), 6.into()])?;
        Ok(self.size.read()[0])
    }

    fn decompress(&self, packed: u64) -> Result<(), Failure> {
        self.size.write(&[self.plain.len() as u64]);
        let [to, size, from] = [
            (&self.plain).into(),
            (&self.size).into(),
            (&self.packed).into(),
        ];
        self.uncompress.returns(0, &[to, size, from, packed.into()])
    }
}

fn compress(library: &Open<'_>, part: usize) -> Result<Task, Failure> {
    let zlib = Zlib::new(library, part)?;
    Ok(Box::new(move || {
        let size = zlib.compress()?;
        Ok(first(&zlib.packed, size))
    }))
}

fn decompress(library: &Open<'_>, part: usize) -> Result<Task, Failure> {
    let zlib = Zlib::new(library, part)?;
    let size = zlib.compress()?;
    Ok(Box::new(move || {
        zlib.decompress(size)?;
        Ok(zlib.plain.read())
    }))
}

fn rows(library: &Open<'_>, part: usize) -> Result<Task, Failure> {
    let open = library.function("sqlite3_open", I, &[P, P])?;
    let run = library.function("sqlite3_exec", I, &[P, P, P, P, P])?;
    let changes = library.function("sqlite3_total_changes", I, &[P])?;
    let close = library.function("sqlite3_close", I, &[P])?;
    let name = library.0.share_string(c":memory:")?;
    let place = library.0.allocate::<u64>(1)?;
    let count = 100_000 / part;
    let sql = format!(
        "create table t(a integer primary key, b text); \
         insert into t with recursive n(i) as (values(1) union all select i + 1 from n where i < {count}) \
         select i, printf('row %d', i * 7919 % 100003) from n; \
         create index by_text on t(b); \
         create table found as select count(*), sum(length(b)) from t where b like '%7%';\0"
    );
    let sql = library.0.share(sql.as_bytes())?;
    Ok(Box::new(move || {
        open.returns(0, &[(&name).into(), (&place).into()])?;
        let base = Value::Pointer(place.read()[0]);
        let null = Value::NULL;
        let arguments = [
            base.clone(),
            (&sql).into(),
            null.clone(),
            null.clone(),
            null,
        ];
        run.returns(0, &arguments)?;
        let done = changes.call(std::slice::from_ref(&base))?;
        close.returns(0, &[base])?;
        Ok(format!("{done:?}").into_bytes())
    }))
}

/// `PNG_IMAGE_VERSION` and `PNG_FORMAT_RGB` (png.h).
const PNG_VERSION: u32 = 1;
const PNG_RGB: u32 = 2;

/// `png_image`: a pointer, then version, width, height and format, and what libpng fills in.
fn png_image(width: usize, height: usize) -> [u64; 13] {
    let mut image = [0; 13];
    image[1] = u64::from(PNG_VERSION) | (width as u64) << 32;
    image[2] = height as u64 | u64::from(PNG_RGB) << 32;
    image
}

fn png(library: &Open<'_>, part: usize) -> Result<Task, Failure> {
    let (width, height) = (1280, 720 / part);
    let write = library.function("png_image_write_to_memory", I, &[P, P, P, I, P, I, P])?;
    let begin = library.function("png_image_begin_read_from_memory", I, &[P, P, L])?;
    let finish = library.function("png_image_finish_read", I, &[P, P, P, I, P])?;
    let pixels = library.0.share(&picture(width, height))?;
    let packed = library.room(pixels.len() + 65536)?;
    let size = library.0.share(&[packed.len() as u64])?;
    let image = library.0.share(&png_image(width, height))?;
    let arguments = [(&image).into(), (&packed).into(), (&size).into(), 0.into()];
    let arguments: Vec<Value> = arguments
        .into_iter()
        .chain([(&pixels).into(), 0.into(), Value::NULL])
        .collect();
    write.returns(1, &arguments)?;
    let size = size.read()[0];
    Ok(Box::new(move || {
        image.write(&png_image(0, 0));
        begin.returns(1, &[(&image).into(), (&packed).into(), size.into()])?;
        let [version, sizes] = [image.read()[1], image.read()[2]];
        image.write(&[
            image.read()[0],
            version,
            sizes & 0xffff_ffff | u64::from(PNG_RGB) << 32,
        ]);
        finish.returns(
            1,
            &[
                (&image).into(),
                Value::NULL,
                (&pixels).into(),
                0.into(),
                Value::NULL,
            ],
        )?;
        Ok(pixels.read())
    }))
}

/// `TJPF_RGB` and `TJSAMP_420` (turbojpeg.h).
const TJ_RGB: i32 = 0;
const TJ_420: i32 = 2;

fn jpeg(library: &Open<'_>, part: usize) -> Result<Task, Failure> {
    let (width, height) = (1280, 720 / part);
    let compressor = library.function("tjInitCompress", P, &[])?;
    let decompressor = library.function("tjInitDecompress", P, &[])?;
    let compress = library.function("tjCompress2", I, &[P, P, I, I, I, I, P, P, I, I, I])?;
    let decompress = library.function("tjDecompress2", I, &[P, P, L, P, I, I, I, I, I])?;
    let pixels = library.0.share(&picture(width, height))?;
    let [at, size] = [library.0.share(&[0u64])?, library.0.share(&[0u64])?];
    let sizes = [width as i32, 0, height as i32, TJ_RGB].map(Value::from);
    let mut arguments = vec![Value::Pointer(compressor.pointer(&[])?), (&pixels).into()];
    arguments.extend(sizes.clone());
    arguments.extend([(&at).into(), (&size).into()]);
    arguments.extend([TJ_420, 90, 0].map(Value::from));
    compress.returns(0, &arguments)?;
    let mut arguments = vec![Value::Pointer(decompressor.pointer(&[])?)];
    arguments.extend([Value::Pointer(at.read()[0]), size.read()[0].into()]);
    arguments.push((&pixels).into());
    arguments.extend(sizes);
    arguments.push(0.into());
    Ok(Box::new(move || {
        decompress.returns(0, &arguments)?;
        Ok(pixels.read())
    }))
}

/// `OPUS_APPLICATION_AUDIO` (opus_defines.h).
const OPUS_AUDIO: i32 = 2049;
/// Samples of 20 ms.
const FRAME: usize = 960;

fn opus(library: &Open<'_>, part: usize) -> Result<Task, Failure> {
    let create = library.function("opus_encoder_create", P, &[I, I, I, P])?;
    let encode = library.function("opus_encode", I, &[P, P, I, P, I])?;
    let destroy = library.function("opus_encoder_destroy", Type::Void, &[P])?;
    let frames = 500 / part;
    let mut number = numbers();
    let sound: Vec<i16> = (0..frames * FRAME * 2)
        .map(|at| {
            let t = (at / 2) as f64 / 48_000.0;
            let tones = (t * 2764.6).sin() + (t * 5529.2 * (1.0 + t / 50.0)).sin() / 2.0;
            (tones * 9000.0) as i16 + (number() % 500) as i16
        })
        .collect();
    let sound = library.0.share(&sound)?;
    let packet = library.room(4000)?;
    let error = library.0.allocate::<u64>(1)?;
    Ok(Box::new(move || {
        let new = [48_000, 2, OPUS_AUDIO].map(Value::from);
        let new: Vec<Value> = new.into_iter().chain([(&error).into()]).collect();
        let encoder = Value::Pointer(create.pointer(&new)?);
        let mut all = Vec::new();
        for frame in 0..frames {
            let from = Value::Pointer(sound.address() + (frame * FRAME * 4) as u64);
            let [to, most] = [(&packet).into(), (packet.len() as i32).into()];
            let size = encode.size(&[encoder.clone(), from, (FRAME as i32).into(), to, most])?;
            all.extend(first(&packet, size));
        }
        destroy.call(&[encoder])?;
        Ok(all)
    }))
}
