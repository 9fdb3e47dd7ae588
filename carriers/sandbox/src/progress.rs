//! Progress on stderr: a line for each step, with a spinner on a terminal; stdout stays free for the document.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two turns of the spinner.
const TICK: Duration = Duration::from_millis(120);

/// Where progress goes.
#[derive(Debug)]
pub struct Progress {
    sink: Sink,
    start: Instant,
}

#[derive(Debug)]
enum Sink {
    Silent,
    Lines,
    Terminal(ProgressBar),
}

impl Progress {
    /// Stderr: a spinner below the lines on a terminal, plain lines elsewhere.
    #[must_use]
    pub fn stderr() -> Progress {
        let sink = if std::io::stderr().is_terminal() { terminal() } else { Sink::Lines };
        Progress { sink, start: Instant::now() }
    }

    /// Nowhere.
    #[must_use]
    pub fn silent() -> Progress {
        Progress { sink: Sink::Silent, start: Instant::now() }
    }

    /// A step that begins.
    pub fn step(&self, text: &str) {
        let line = format!("[{:>6.2} s] {text}", self.start.elapsed().as_secs_f32());
        match &self.sink {
            Sink::Silent => {}
            // A reader that went away must not end the rehearsal.
            Sink::Lines => drop(writeln!(std::io::stderr(), "{line}")),
            Sink::Terminal(spinner) => {
                spinner.println(line);
                spinner.set_message(text.to_owned());
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Sink::Terminal(spinner) = &self.sink {
            spinner.finish_and_clear();
        }
    }
}

fn terminal() -> Sink {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // https://no-color.org: set and not empty.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let template = if no_color { "{spinner} {wide_msg}" } else { "{spinner:.cyan} {wide_msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TICK);
    Sink::Terminal(spinner)
}
