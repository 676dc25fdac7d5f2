//! Arguments that several commands take, and how they go on top of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Config, ConfigError, Problem, Role};

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub(super) struct DataArgs {
    /// Directory of the database and its keys [default: ./inkhook-data].
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Postgres server to use instead of a file in the directory: postgres://user:password@host:5432/name. Better
    /// given as INKHOOK_DATABASE__URL, which other users of the machine cannot see.
    #[arg(long, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// Configuration file [default: inkhook.toml, when there is one].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// What `serve` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Address of the API [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Address where mail is taken, or "off" [default: 127.0.0.1:2525].
    #[arg(long, value_name = "ADDR")]
    pub(super) smtp_listen: Option<String>,
    /// Domain of the mailboxes that are made here [default: mail.localhost].
    #[arg(long, value_name = "NAME")]
    pub(super) mail_domain: Option<String>,
    /// Do a part of the work, on one of several nodes that share a database; the API's address then answers
    /// /healthz, /readyz and /metrics all the same.
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub(super) only: Vec<Role>,
    /// Deliver to loopback addresses too, with http. For developing on one machine.
    #[arg(long)]
    pub(super) dev: bool,
    /// With --dev: listen on an address that others can reach all the same.
    #[arg(long)]
    pub(super) dev_public: bool,
}

impl DataArgs {
    /// The configuration with these on top.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        let mut config = config::load(self.config.as_deref())?;
        self.put_on(&mut config);
        Ok(config)
    }

    fn put_on(&self, config: &mut Config) {
        if let Some(data_dir) = &self.data_dir {
            config.server.data_dir.clone_from(data_dir);
        }
        if self.database_url.is_some() {
            config.database.url.clone_from(&self.database_url);
            config.database.url_file = None;
        }
    }
}

impl ServeArgs {
    /// The configuration with these on top.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        let mut config = config::load(self.data.config.as_deref())?;
        self.put_on(&mut config);
        Ok(config)
    }

    /// The same as far as it can be read, and everything that is wrong with it.
    pub(super) fn check(&self) -> Result<(Config, Vec<Problem>), ConfigError> {
        let (mut config, mut problems) = config::read(self.data.config.as_deref())?;
        self.put_on(&mut config);
        problems.extend(config.problems());
        Ok((config, problems))
    }

    fn put_on(&self, config: &mut Config) {
        self.data.put_on(config);
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        if let Some(listen) = &self.smtp_listen {
            config.smtp.listen.clone_from(listen);
        }
        if let Some(domain) = &self.mail_domain {
            config.smtp.mail_domain.clone_from(domain);
        }
        if !self.only.is_empty() {
            config.server.only.clone_from(&self.only);
        }
        config.server.dev |= self.dev;
        config.server.dev_public |= self.dev_public;
    }
}
