//! The iotdec worker.
fn main() {
    println!("worker");
}
