//! The second half of docs/reference/command-line.md is made of the commands. The test fails if the page
//! says something else; `UPDATE_REFERENCE=1` writes it.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command};

use crate::command_line::Exit;
use crate::commands;

// O07.
#[test]
fn the_reference_has_every_command_option_and_exit_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/command-line.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, _) = page.split_once(BEGIN).unwrap();
    let expected = format!("{head}{BEGIN}{}", exit_codes() + &all_commands());
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == expected, "{}: UPDATE_REFERENCE=1 cargo test --bin offswitch", path.display());
    // Each exit code is in the help as well.
    let help = crate::EXIT_CODES;
    assert!(Exit::ALL.iter().all(|(exit, _)| help.contains(&format!("\n  {}  ", *exit as u8))));
}

// O07: clap's own checks of names, conflicts and requirements.
#[test]
fn the_commands_are_consistent() {
    commands().debug_assert();
}

fn exit_codes() -> String {
    let mut text = "\n## Exit codes\n\n| code | meaning |\n|---|---|\n".to_owned();
    for (exit, meaning) in Exit::ALL {
        writeln!(text, "| {} | {meaning} |", exit as u8).unwrap();
    }
    text
}

fn all_commands() -> String {
    let commands = commands();
    let mut text = "\n## Commands\n".to_owned();
    let mut all: Vec<&Command> = commands.get_subcommands().collect();
    all.sort_by_key(|one| one.get_name());
    text += "\nOptions of all commands:\n\n";
    options(&commands, &mut text);
    for one in all {
        describe("offswitch", one, &mut text);
    }
    text
}

fn describe(parent: &str, command: &Command, text: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or_else(|| command.get_about()).unwrap();
    let level = if parent == "offswitch" { "###" } else { "####" };
    write!(text, "\n{level} `{name}`\n\n{}\n", sentence(&about.to_string())).unwrap();
    let usage = command.clone().bin_name(&name).render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    write!(text, "\n```\n{usage}\n```\n").unwrap();
    if command.get_arguments().next().is_some() {
        text.push('\n');
        options(command, text);
    }
    for one in command.get_subcommands() {
        describe(&name, one, text);
    }
}

fn options(command: &Command, text: &mut String) {
    *text += "| option | meaning |\n|---|---|\n";
    for one in command.get_arguments() {
        let help = one.get_long_help().or_else(|| one.get_help()).unwrap().to_string();
        let help = sentence(&help.replace('\n', " ").replace('|', "\\|"));
        writeln!(text, "| `{}` | {help}{} |", named(one), notes(one)).unwrap();
    }
}

/// clap takes away the last full stop.
fn sentence(text: &str) -> String {
    let is_ended = text.ends_with(['.', '?']);
    if is_ended { text.to_owned() } else { format!("{text}.") }
}

/// `--url <URL>`, or `<FILE>` for one without a name.
fn named(one: &Arg) -> String {
    let values = one.get_value_names().unwrap_or_default();
    let value: String = values.iter().map(|name| format!(" <{name}>")).collect();
    let value = if one.get_action().takes_values() { value } else { String::new() };
    match one.get_long() {
        Some(long) => format!("--{long}{value}"),
        None => value.trim_start().to_owned(),
    }
}

fn notes(one: &Arg) -> String {
    let mut text = String::new();
    if let Some(variable) = one.get_env() {
        write!(text, " Also as `{}`.", variable.display()).unwrap();
    }
    if let [default] = one.get_default_values()
        && one.get_action().takes_values()
    {
        write!(text, " By default `{}`.", default.display()).unwrap();
    }
    text
}

const BEGIN: &str = "<!-- What follows is made of the commands: UPDATE_REFERENCE=1 cargo test --bin offswitch -->\n";
