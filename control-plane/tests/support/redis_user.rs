//! The user that the guide tells operators to create.

/// The words of the guide's command, for a user of this name and password, with more rights.
pub(crate) fn command<'a>(name: &'a str, password: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let line = GUIDE.lines().find(|line| line.starts_with("ACL SETUSER ")).unwrap();
    let words = line.split(' ').map(|word| match word {
        "offswitch" => name,
        ">password" => password,
        word => word,
    });
    words.chain(more.iter().copied()).collect()
}

const GUIDE: &str = include_str!("../../../docs/guides/redis.md");
