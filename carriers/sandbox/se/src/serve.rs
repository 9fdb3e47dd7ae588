//! The SE on a socket: a plain framing for any host, and the client side of pcscd's virtual reader (vpcd).
//! Frames are a two-byte big-endian length and so many bytes, each way.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::PathBuf;

use crate::{Factory, FileError, SecureElement};

/// The answer to reset: T=1 only, no historical bytes (ISO/IEC 7816-3).
const ANSWER_TO_RESET: [u8; 4] = [0x3B, 0x80, 0x01, 0x81];

/// Which SE to serve.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What a new SE is made from.
    pub factory: Factory,
    /// Where its state lives; in memory if `None`. A missing file is created, another is opened.
    pub file: Option<PathBuf>,
}

impl Options {
    /// The SE: opened if its file exists, otherwise made.
    ///
    /// # Errors
    /// The file is no SE file, or the factory parameters are not acceptable. Nothing on disk is changed.
    pub fn secure_element(self) -> Result<SecureElement, FileError> {
        match self.file {
            None => Ok(SecureElement::new(self.factory)?),
            Some(path) if path.symlink_metadata().is_ok() => SecureElement::open(&path),
            Some(path) => SecureElement::create(&path, self.factory),
        }
    }
}

/// Serves connections one after another, each a card reset; the state is kept. Returns only on an error.
///
/// An SE whose power was cut hangs up.
///
/// # Errors
/// The listener failed. A client that hangs up or sends half a frame only ends its own connection.
pub fn listen(listener: &TcpListener, se: &mut SecureElement) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        se.reset();
        // The client's trouble is not the card's.
        let _ = serve(stream, se);
    }
}

fn serve(mut stream: TcpStream, se: &mut SecureElement) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(apdu) = read_frame(&mut stream)? {
        let answer = se.transmit(&apdu);
        if answer.is_empty() {
            break;
        }
        write_frame(&mut stream, &answer)?;
    }
    Ok(())
}

/// Is a card in pcscd's virtual reader at `address` (usually port 35963) until the reader hangs up.
///
/// # Errors
/// The reader cannot be reached, or the connection broke in the middle of a frame.
pub fn vpcd(address: impl ToSocketAddrs, se: &mut SecureElement) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    while let Some(frame) = read_frame(&mut stream)? {
        match frame.as_slice() {
            // Power off, power on, reset: no answer.
            [0x00..=0x02] => se.reset(),
            [0x04] => write_frame(&mut stream, &ANSWER_TO_RESET)?,
            apdu => write_frame(&mut stream, &se.transmit(apdu))?,
        }
    }
    Ok(())
}

/// One frame; `None` if the other side hung up between frames.
fn read_frame(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..])?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn write_frame(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u16::try_from(frame.len()).map_err(io::Error::other)?;
    // One write, so that no frame waits for an acknowledgement.
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(frame);
    stream.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(stream: &mut TcpStream, frame: &[u8]) -> Vec<u8> {
        write_frame(stream, frame).unwrap();
        read_frame(stream).unwrap().unwrap()
    }

    #[test]
    fn each_connection_is_a_reset_and_keeps_the_state() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut se = SecureElement::new(Factory::default()).unwrap();
        std::thread::spawn(move || listen(&listener, &mut se));
        let initialize = hex::decode("8050000008000102030405060700").unwrap();
        for counter in 1..=2u8 {
            let mut stream = TcpStream::connect(address).unwrap();
            // A half frame of an earlier client did no harm.
            let answer = exchange(&mut stream, &initialize);
            assert_eq!(answer[answer.len() - 5..], [0, 0, counter, 0x90, 0x00]);
            assert_eq!(
                exchange(&mut stream, &[0, 0x70, 0, 0, 1]),
                [1, 0x90, 0x00],
                "channel 1 is free"
            );
            stream.write_all(&[0x00]).unwrap();
        }
    }

    #[test]
    fn a_virtual_reader_gets_an_answer_to_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let card = std::thread::spawn(move || {
            vpcd(address, &mut SecureElement::new(Factory::default()).unwrap())
        });
        let (mut reader, _) = listener.accept().unwrap();
        write_frame(&mut reader, &[0x01]).unwrap();
        let answer_to_reset = exchange(&mut reader, &[0x04]);
        assert_eq!(answer_to_reset, ANSWER_TO_RESET);
        // TCK over everything behind TS (ISO/IEC 7816-3) makes an exclusive or of zero.
        assert_eq!(answer_to_reset[1..].iter().fold(0, |sum, byte| sum ^ byte), 0);
        let answer = exchange(&mut reader, &[0x00, 0xA4, 0x04, 0x00, 0x00]);
        assert!(answer.ends_with(&[0x90, 0x00]));
        drop(reader);
        card.join().unwrap().unwrap();
    }

    #[test]
    fn a_foreign_file_is_refused_and_left_alone() {
        let path = std::env::temp_dir().join(format!("se-foreign-{}.se", std::process::id()));
        std::fs::write(&path, "a letter").unwrap();
        let options = Options { file: Some(path.clone()), ..Options::default() };
        assert!(matches!(options.secure_element(), Err(FileError::NotAnSe { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a letter");
        assert!(!crate::ledger::Ledger::path_beside(&path).exists());
        std::fs::remove_file(path).unwrap();
    }
}
