//! The iotdec command line.
fn main() {
    println!("iotdec");
}
