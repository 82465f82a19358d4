//! The bot's account at Meta: app, page and token. `echobot check` and `echobot setup`, and what a running bot learns and
//! mends by itself.

mod calls;
mod check;
mod setup;
mod token_page;
mod watch;

pub use self::check::check;
pub use self::setup::setup;
pub(crate) use self::token_page::TokenPage;
pub(crate) use self::watch::watch;

const SUBSCRIBE: &str = "run echobot setup --callback-url https://…";
