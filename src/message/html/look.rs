//! How text looks.

/// How the content of an element looks, as its own `style` and its parents' have it. Rules of `<style>` elements are
/// not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Look {
    /// The content is not visible, whatever its own style.
    pub hidden: bool,
    /// `visibility: hidden`, which a descendant may take back.
    pub invisible: bool,
    /// `font-size: 0`, which a descendant may take back.
    pub tiny: bool,
    /// White space is kept.
    pub preformatted: bool,
    /// Struck out.
    pub struck: bool,
    /// Above or below the line.
    pub script: Script,
}

/// The vertical position of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Script {
    /// On the line.
    #[default]
    Line,
    /// `<sup>`.
    Above,
    /// `<sub>`.
    Below,
}

impl Look {
    /// Returns true if text is visible.
    pub fn is_seen(self) -> bool {
        !self.hidden && !self.invisible && !self.tiny
    }
}
