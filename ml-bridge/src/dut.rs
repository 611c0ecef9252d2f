//! A model as the device under test of the MLPerf Tiny runner: the commands of its serial protocol, over any two pipes.
//!
//! Commands end with `%`, answers are lines that end with `\r\n`; after each command comes `m-ready`.
//!
//! | command | answer |
//! |---|---|
//! | `name` | `m-name-dut-[...]` |
//! | `profile` | `m-profile-[...]`, `m-model-[...]` |
//! | `timestamp` | `m-lap-us-...`: microseconds since the start |
//! | `db load N` | `m-[Expecting N bytes]` |
//! | `db HEX` | `m-load-done` with the last byte; further digits do not count |
//! | `db print` | `m-buffer-xx-xx-...`, eight bytes a line |
//! | `infer N [W]` | W inferences to warm up (10), then N between two timestamps, then the results |
//! | `results` | `m-results-[0.000,...]` |
//! | `help` | the commands |
//!
//! What goes wrong is an `e-[...]` line. Results are kept as they were after the last inference.

use std::io::{BufWriter, Read, Write};
use std::time::Instant;

use crate::engine::Engine;
use crate::model::Model;
use crate::{Error, Result};

/// What the bytes of the buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The model's int8 numbers.
    Signed,
    /// The model's int8 numbers plus 128, as pixels come.
    Unsigned,
    /// Little-endian single precision, to be quantized.
    Float,
}

/// What `results` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Every output, as a real number.
    Vector,
    /// The mean squared difference of output and input, for an autoencoder.
    Error,
}

/// The longest command that is kept; what goes beyond is dropped.
const MAX_COMMAND_BYTES: usize = 1 << 16;
/// Most inferences of one command.
const MAX_INFERENCES: u64 = 1_000_000_000;

/// A device: an engine, its buffer, its clock.
#[derive(Debug)]
pub struct Device {
    engine: Engine,
    model: String,
    kinds: (Input, Output),
    buffer: Vec<u8>,
    filled: usize,
    input: Vec<i8>,
    output: Vec<i8>,
    start: Instant,
}

impl Device {
    /// A device for `model`, which it calls `name` ("kws01").
    ///
    /// # Errors
    /// As [`Engine::new`]; `InvalidArgument` if results are differences and the model gives not as many numbers as it
    /// takes.
    pub fn new(model: &Model, name: &str, input: Input, output: Output) -> Result<Self> {
        let engine = Engine::new(model)?;
        if output == Output::Error && engine.input_count() != engine.output_count() {
            return Err(Error::invalid(
                "only a model that gives as many numbers as it takes has differences of output and input",
            ));
        }
        Ok(Device {
            input: vec![0; engine.input_count()],
            output: vec![0; engine.output_count()],
            model: name.to_string(),
            kinds: (input, output),
            buffer: Vec::new(),
            filled: 0,
            start: Instant::now(),
            engine,
        })
    }

    /// Obeys the commands that come from `from`, until there are no more.
    ///
    /// # Errors
    /// The pipes' own.
    pub fn serve(&mut self, from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<()> {
        let mut to = BufWriter::new(to);
        line(&mut to, "m-timestamp-mode-performance")?;
        self.timestamp(&mut to)?;
        line(&mut to, "m-init-done")?;
        line(&mut to, "m-ready")?;
        to.flush()?;
        let mut command = Vec::new();
        let mut bytes = [0u8; 4096];
        loop {
            let count = match from.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            for byte in bytes.get(..count).unwrap_or(&[]) {
                match byte {
                    b'%' => {
                        let text = String::from_utf8_lossy(&command).into_owned();
                        command.clear();
                        self.obey(&text, &mut to)?;
                        line(&mut to, "m-ready")?;
                        to.flush()?;
                    }
                    b'\r' | b'\n' => {}
                    _ if command.len() < MAX_COMMAND_BYTES => command.push(*byte),
                    _ => {}
                }
            }
        }
    }

    fn obey(&mut self, command: &str, to: &mut dyn Write) -> std::io::Result<()> {
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["name"] => line(to, "m-name-dut-[siltstone]"),
            ["profile"] => {
                line(to, "m-profile-[ULPMark for tinyML Firmware V0.0.1]")?;
                line(to, &format!("m-model-[{}]", self.model))
            }
            ["timestamp"] => self.timestamp(to),
            ["help"] => {
                for command in ["name", "profile", "timestamp", "db load N", "db HEX", "db print"] {
                    line(to, command)?;
                }
                line(to, "infer N [W=10]")?;
                line(to, "results")
            }
            ["db"] => line(to, "e-[Command 'db' requires a subcommand]"),
            ["db", "load", rest @ ..] => self.expect(rest.first().copied(), to),
            ["db", "print", ..] => self.print(to),
            ["db", digits, ..] => self.take(digits, to),
            ["infer", rest @ ..] => self.infer(rest, to),
            ["results"] => self.results(to),
            _ => line(
                to,
                &format!("e-[Unknown command: {}]", words.first().unwrap_or(&"")),
            ),
        }
    }

    fn timestamp(&self, to: &mut dyn Write) -> std::io::Result<()> {
        line(to, &format!("m-lap-us-{}", self.start.elapsed().as_micros()))
    }

    /// Bytes that fill the model's input.
    fn wanted(&self) -> usize {
        self.input.len() * if self.kinds.0 == Input::Float { 4 } else { 1 }
    }

    fn expect(&mut self, count: Option<&str>, to: &mut dyn Write) -> std::io::Result<()> {
        let most = self.wanted();
        match count.and_then(|c| c.parse::<usize>().ok()) {
            Some(count) if (1..=most).contains(&count) => {
                self.buffer = vec![0; count];
                self.filled = 0;
                line(to, &format!("m-[Expecting {count} bytes]"))
            }
            _ => line(to, &format!("e-[Command 'db load' requires 1 to {most} bytes]")),
        }
    }

    fn take(&mut self, digits: &str, to: &mut dyn Write) -> std::io::Result<()> {
        if digits.len() % 2 != 0 {
            return line(to, "e-[Insufficient number of hex digits]");
        }
        let nibble = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        for pair in digits.as_bytes().chunks_exact(2) {
            let byte = match pair {
                [high, low] => nibble(high).zip(nibble(low)).map(|(h, l)| h << 4 | l),
                _ => None,
            };
            let Some(byte) = byte else {
                return line(
                    to,
                    &format!("e-[Invalid hex digit '{}']", String::from_utf8_lossy(pair)),
                );
            };
            let Some(place) = self.buffer.get_mut(self.filled) else {
                return line(to, "e-[No room: see 'db load']");
            };
            *place = byte;
            self.filled += 1;
            if self.filled == self.buffer.len() {
                return line(to, "m-load-done");
            }
        }
        Ok(())
    }

    fn print(&self, to: &mut dyn Write) -> std::io::Result<()> {
        for bytes in self.buffer.chunks(8) {
            let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            line(to, &format!("m-buffer-{}", digits.join("-")))?;
        }
        Ok(())
    }

    /// Fills the model's input from the buffer; what the buffer lacks stays.
    fn load(&mut self) {
        let affine = self.engine.input_quantization();
        let bytes = self.buffer.get(..self.filled).unwrap_or(&[]);
        match self.kinds.0 {
            Input::Signed => self
                .input
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, b)| *to = *b as i8),
            Input::Unsigned => {
                let places = self.input.iter_mut().zip(bytes);
                places.for_each(|(to, b)| *to = (*b ^ 0x80) as i8);
            }
            Input::Float => {
                for (to, four) in self.input.iter_mut().zip(bytes.chunks_exact(4)) {
                    let four = four.first_chunk().copied().unwrap_or_default();
                    *to = affine.quantize(f32::from_le_bytes(four));
                }
            }
        }
    }

    fn infer(&mut self, words: &[&str], to: &mut dyn Write) -> std::io::Result<()> {
        let number = |word: Option<&&str>, default: u64| word.map_or(Some(default), |w| w.parse().ok());
        let count = number(words.first(), 1).filter(|n| (1..=MAX_INFERENCES).contains(n));
        let warmup = number(words.get(1), 10).filter(|n| *n <= MAX_INFERENCES);
        let (Some(count), Some(warmup)) = (count, warmup) else {
            return line(to, "e-[Inference iterations must be >0, warmup >=0]");
        };
        self.load();
        line(to, &format!("m-warmup-start-{warmup}"))?;
        let mut failed = None;
        for _ in 0..warmup {
            failed = self.engine.run(&self.input, &mut self.output).err().or(failed);
        }
        line(to, "m-warmup-done")?;
        line(to, &format!("m-infer-start-{count}"))?;
        self.timestamp(to)?;
        to.flush()?;
        for _ in 0..count {
            failed = self.engine.run(&self.input, &mut self.output).err().or(failed);
        }
        self.timestamp(to)?;
        line(to, "m-infer-done")?;
        if let Some(error) = failed {
            return line(to, &format!("e-[{error}]"));
        }
        self.results(to)
    }

    fn results(&self, to: &mut dyn Write) -> std::io::Result<()> {
        let (from, into) = (
            self.engine.input_quantization(),
            self.engine.output_quantization(),
        );
        let reals = self.output.iter().map(|q| into.dequantize(*q));
        let shown = match self.kinds.1 {
            Output::Vector => reals
                .map(|real| format!("{real:.3}"))
                .collect::<Vec<_>>()
                .join(","),
            Output::Error => {
                let squares = reals
                    .zip(&self.input)
                    .map(|(real, q)| f64::from(real - from.dequantize(*q)).powi(2));
                format!("{:.3}", squares.sum::<f64>() / self.input.len().max(1) as f64)
            }
        };
        line(to, &format!("m-results-[{shown}]"))
    }
}

/// One line of an answer.
fn line(to: &mut dyn Write, text: &str) -> std::io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.write_all(b"\r\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Activation, Affine, dense};

    fn model() -> Model {
        let layer = dense::DenseLayer {
            inputs: 3,
            outputs: 3,
            weights: vec![64, 0, 0, 0, 64, 0, 0, 0, 64],
            weight_scales: vec![1.0 / 64.0],
            bias: vec![],
            activation: Activation::None,
            output: Affine {
                scale: 0.5,
                zero_point: 0,
            },
        };
        dense::build(
            &[layer],
            Affine {
                scale: 0.5,
                zero_point: 0,
            },
        )
        .unwrap()
    }

    /// The answers to `commands`, timestamps without their numbers.
    fn answers(input: Input, output: Output, commands: &str) -> Vec<String> {
        let mut device = Device::new(&model(), "ad01", input, output).unwrap();
        let mut said = Vec::new();
        device.serve(&mut commands.as_bytes(), &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.ends_with("\r\n"));
        let plain = |l: &str| {
            l.trim_end_matches(|c: char| c.is_ascii_digit() && l.starts_with("m-lap-us-"))
                .to_string()
        };
        said.trim_end().split("\r\n").map(plain).collect()
    }

    const HELLO: [&str; 4] = [
        "m-timestamp-mode-performance",
        "m-lap-us-",
        "m-init-done",
        "m-ready",
    ];

    #[test]
    fn a_session() {
        let said = answers(
            Input::Signed,
            Output::Vector,
            "name%profile%\r\ntimestamp%db load 3%db 02fF%db 0A99%infer 2 1%results%db print%",
        );
        let want = [
            "m-name-dut-[siltstone]",
            "m-ready",
            "m-profile-[ULPMark for tinyML Firmware V0.0.1]",
            "m-model-[ad01]",
            "m-ready",
            "m-lap-us-",
            "m-ready",
            "m-[Expecting 3 bytes]",
            "m-ready",
            "m-ready",
            "m-load-done",
            "m-ready",
            "m-warmup-start-1",
            "m-warmup-done",
            "m-infer-start-2",
            "m-lap-us-",
            "m-lap-us-",
            "m-infer-done",
            "m-results-[1.000,-0.500,5.000]",
            "m-ready",
            "m-results-[1.000,-0.500,5.000]",
            "m-ready",
            "m-buffer-02-ff-0a",
            "m-ready",
        ];
        assert_eq!(said[..4], HELLO);
        assert_eq!(said[4..], want);
    }

    #[test]
    fn pixels_and_floats() {
        let pixels = answers(Input::Unsigned, Output::Vector, "db load 3%db 82807F%infer 1 0%");
        assert!(
            pixels.contains(&"m-results-[1.000,0.000,-0.500]".to_string()),
            "{pixels:?}"
        );
        let floats = answers(
            Input::Float,
            Output::Error,
            "db load 12%db 0000803f%db 000000000000803e%infer 1%",
        );
        assert!(floats.contains(&"m-results-[0.000]".to_string()), "{floats:?}");
    }

    #[test]
    fn nonsense_is_answered() {
        let said = answers(
            Input::Signed,
            Output::Vector,
            "bogus x%%db%db load 4%db load x%db 12%db load 1%db 1%db zz%db éé%infer 0%infer 1 -1%infer x%db 00%db 00%",
        );
        let errors = said.iter().filter(|l| l.starts_with("e-[")).count();
        assert_eq!(errors, 13, "{said:?}");
        assert_eq!(said.iter().filter(|l| *l == "m-ready").count(), 16);
    }
}
