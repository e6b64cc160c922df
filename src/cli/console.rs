//! What is printed, and where: results to stdout, messages to stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::Value;

use super::bar::Bar;
use super::failure::Failure;

/// How a command talks.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct ConsoleArgs {
    /// Print the result as JSON
    ///
    /// One JSON document on stdout, for scripts. Errors are printed there too, as
    /// {"error": {"message", "hint"}, "exit_status"}.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// Print nothing but errors
    ///
    /// Neither progress nor a summary. The exit status still tells how it went.
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// How a label on stderr looks on a terminal.
#[derive(Debug, Clone, Copy)]
enum Style {
    Plain,
    Error,
    Warning,
    Hint,
}

/// Standard output and error of one command.
pub(crate) struct Console {
    args: ConsoleArgs,
    colour: bool,
    /// Whether results are coloured too: stdout is a terminal of its own.
    paint: bool,
    bar: Option<Bar>,
}

impl Console {
    /// A console for this command's arguments, on the process's own streams.
    pub(crate) fn new(args: ConsoleArgs) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let terminal = io::stderr().is_terminal() && !dumb;
        let bar = (terminal && !args.quiet).then(Bar::new);
        let paint = io::stdout().is_terminal() && !dumb && !set("NO_COLOR");
        Self { args, colour: terminal && !set("NO_COLOR"), paint, bar }
    }

    /// Where a running pipeline reports its progress: a bar on a terminal, else nowhere.
    pub(crate) fn progress(&self) -> &dyn asof::pipeline::progress::Progress {
        match &self.bar {
            Some(bar) => bar,
            None => &asof::pipeline::progress::Silent,
        }
    }

    /// Takes the progress bar off the terminal before something else is printed.
    fn clear_progress(&self) {
        if let Some(bar) = &self.bar {
            bar.clear();
        }
    }

    /// Prints the result of a command: `document` under `--json`, nothing under
    /// `--quiet`, else `text`.
    pub(crate) fn result(&mut self, text: &str, document: impl FnOnce() -> Value) -> Result<(), Failure> {
        self.clear_progress();
        match self.args {
            ConsoleArgs { json: true, .. } => self.json(&document()),
            ConsoleArgs { quiet: true, .. } => Ok(()),
            _ if self.paint => self.text(&painted(text)),
            _ => self.text(text),
        }
    }

    /// Prints text to stdout, ending the last line.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.bytes(format!("{text}{end}").as_bytes())
    }

    /// Prints a JSON document to stdout.
    pub(crate) fn json(&mut self, document: &Value) -> Result<(), Failure> {
        self.bytes(format!("{document:#}\n").as_bytes())
    }

    /// Writes to stdout. A reader that has gone away is no failure.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(()),
        }
    }

    /// Prints a warning to stderr.
    pub(crate) fn warn(&mut self, message: &str) {
        if !self.args.quiet {
            self.clear_progress();
            self.complain("warning", Style::Warning, message);
        }
    }

    /// Tells the user on stderr (and, under `--json`, on stdout too) why a command ends.
    pub(crate) fn report(&mut self, failure: &Failure) -> ExitCode {
        self.clear_progress();
        self.complain("error", Style::Error, &failure.message());
        for cause in failure.causes() {
            self.complain("caused by", Style::Plain, &cause);
        }
        if let Some(hint) = failure.hint() {
            self.complain("hint", Style::Hint, &hint);
        }
        if self.args.json {
            let error = serde_json::json!({ "message": failure.message(), "hint": failure.hint() });
            // The failure has been told on stderr; a second one to tell it to stdout adds nothing.
            let _ = self.json(&serde_json::json!({ "error": error, "exit_status": 2 }));
        }
        ExitCode::from(2)
    }

    /// Prints a labelled message to stderr.
    fn complain(&self, label: &str, style: Style, message: &str) {
        let (on, off) = match style {
            _ if !self.colour => ("", ""),
            Style::Plain => ("", ""),
            Style::Error => ("\u{1b}[1;31m", "\u{1b}[0m"),
            Style::Warning => ("\u{1b}[1;33m", "\u{1b}[0m"),
            Style::Hint => ("\u{1b}[1;36m", "\u{1b}[0m"),
        };
        // Nowhere is left to say that stderr cannot be written.
        let _ = writeln!(io::stderr(), "{on}{label}:{off} {}", printable(message));
    }
}

/// A result whose lines that begin with a severity show it in colour.
fn painted(text: &str) -> String {
    let colours = [("error ", "\u{1b}[1;31m"), ("warning ", "\u{1b}[1;33m"), ("info ", "\u{1b}[1;36m")];
    let line = |line: &str| {
        let words = line.trim_start_matches(' ');
        let (indent, word) = (&line[..line.len() - words.len()], words.split(' ').next().unwrap_or_default());
        let found = colours.iter().find(|(start, _)| indent.len() <= 2 && words.starts_with(start));
        found.map_or_else(
            || line.to_owned(),
            |(_, on)| format!("{indent}{on}{word}\u{1b}[0m{}", &words[word.len()..]),
        )
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A message without the control characters that a hostile file name could bring in.
fn printable(message: &str) -> String {
    let safe = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    message.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::painted;

    #[test]
    fn severities_alone_are_coloured() {
        let text =
            "a table\n  error  chain-break  2\n\nwarning coverage-assumed t\n    error inside a message\n";
        assert_eq!(
            painted(text),
            "a table\n  \u{1b}[1;31merror\u{1b}[0m  chain-break  2\n\n\u{1b}[1;33mwarning\u{1b}[0m coverage-assumed t\n    \
             error inside a message\n"
        );
    }
}
