//! `--uplink`: the speed at which request bodies go out.

use clap::Args;

use crate::drive::Uplink;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct UplinkArgs {
    /// How request bodies are paced: recorded (as each captured client sent its own), unpaced (as fast as the
    /// target takes them), or evenly at the speed of a link: 3g (750 kbit/s), 4g (3 Mbit/s), wifi (15 Mbit/s),
    /// 200kbps. Anything but recorded tells of other clients than the captured ones.
    #[arg(long, value_name = "LINK", default_value_t)]
    pub(super) uplink: Uplink,
}
