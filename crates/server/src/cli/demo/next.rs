//! Where to look next: addresses with their ports, and commands that work as they stand.

use std::io;
use std::net::SocketAddr;

use super::screen::Screen;
use crate::domain::secret::Secret;

/// What the commands need.
pub(super) struct Places<'a> {
    pub(super) api: SocketAddr,
    pub(super) smtp: SocketAddr,
    pub(super) mailbox: &'a str,
    pub(super) key: &'a Secret,
}

/// Prints it. With `running` the server is there to be asked; without, the demo is about to end.
pub(super) fn show(screen: &mut Screen, places: &Places<'_>, running: bool) -> io::Result<()> {
    let Places { api, smtp, mailbox, key } = places;
    screen.heading("Where to look next")?;
    if running {
        screen.text("  Ask the server, in another terminal:")?;
        screen.text(&format!("    KEY={}", key.expose()))?;
        screen.text(&format!("    curl -H \"X-API-Key: $KEY\" http://{api}/api/v1/webhooks/deliveries"))?;
        screen.text(&format!("    curl -H \"X-API-Key: $KEY\" http://{api}/api/v1/events"))?;
        screen.text("  Write to the agent yourself, and watch it arrive here:")?;
        screen.text(
            "    printf 'From: you@example.org\\r\\nSubject: Hello\\r\\n\\r\\nIs anybody there?\\r\\n' |",
        )?;
        screen.text(&format!("      curl smtp://{smtp} --mail-from you@example.org \\"))?;
        screen.text(&format!("        --mail-rcpt {mailbox} -T -"))?;
    }
    screen.text("  Run it for your own code, with data that stays:")?;
    screen.text("    inkhook serve --dev          (from the sources: cargo run --release -- serve --dev)")?;
    screen.text("  Read on:")?;
    screen.text("    README.md, ARCHITECTURE.md; `inkhook openapi` has every route and field")?;
    if running {
        screen.blank()?;
        screen.text("The server keeps running. Ctrl-C stops it and removes its data.")?;
    }
    Ok(())
}
