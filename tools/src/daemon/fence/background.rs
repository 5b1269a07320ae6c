//! A thread that was started long before a fence and does one thing at it, so that the fence itself waits for that no
//! longer than it wants to.

use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::super::threads::{self, Standing};

/// The thread, which ends with this.
#[derive(Debug)]
pub(super) struct Background {
    texts: Sender<String>,
    done: Receiver<()>,
}

impl Background {
    /// Starts the thread. `work` is done with each text that it is handed, and tells whether it has succeeded.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(super) fn start(
        name: &str,
        standing: Standing,
        mut work: impl FnMut(String) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (texts, coming) = bounded::<String>(1);
        let (say, done) = bounded(1);
        threads::spawn(name, standing, move || {
            for text in coming {
                if work(text) {
                    let _ = say.try_send(());
                }
            }
        })?;
        Ok(Self { texts, done })
    }

    /// Hands a text on, without waiting.
    ///
    /// # Errors
    /// The text, if one waits already.
    pub(super) fn hand_on(&self, text: String) -> Result<(), String> {
        self.texts.try_send(text).map_err(TrySendError::into_inner)
    }

    /// Waits until the thread has succeeded, at most `limit`. Whether it has.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        self.done.recv_timeout(limit).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn success_is_told_and_failure_is_not() {
        let background = Background::start("test", Standing::Ordinary, |text| text == "good").unwrap();
        let hand_on = |text: &str| while background.hand_on(text.to_owned()).is_err() {};
        hand_on("bad");
        hand_on("good");
        assert!(background.wait(SOON));
        hand_on("bad");
        assert!(!background.wait(Duration::from_millis(50)));
    }

    #[test]
    fn what_cannot_be_handed_on_comes_back() {
        let (go, wait) = bounded::<()>(0);
        let background = Background::start("test", Standing::Ordinary, move |_| wait.recv().is_ok()).unwrap();
        // One is worked on, one waits; the next comes back.
        let mut handed = 0;
        let back = loop {
            match background.hand_on(handed.to_string()) {
                Ok(()) => handed += 1,
                Err(back) => break back,
            }
        };
        assert_eq!(back, handed.to_string());
        go.send(()).unwrap();
        assert!(background.wait(SOON));
    }
}
