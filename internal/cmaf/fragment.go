package cmaf

import "fmt"

// nonSync is sample_is_non_sync_sample (ISO 14496-12 8.8.3.1).
const nonSync = 1 << 16

// share is what a moof says of one track by itself. What it leaves to the init segment (the
// trex box) is only counted, so that a fragment can be read before its init is known.
type share struct {
	track   uint32
	base    uint64 // decode time of the first sample
	told    uint64 // sum of the durations that the fragment tells
	untold  uint64 // number of samples whose duration it does not
	samples int
	first   firstSample
}

// firstSample is the first sample of a share.
type firstSample struct {
	flags   uint32
	flagged bool
	size    uint32
	sized   bool
	at      int64 // of its bytes, from the first byte of the moof; 0: not known
}

// timing completes a share by what the init says.
func (s *share) timing(init *Init) Timing {
	d := init.defaultsOf(s.track)
	if s.first.flagged {
		d.flags = s.first.flags
	}
	return Timing{
		TrackID: s.track, BaseTime: s.base, Duration: s.told + s.untold*uint64(d.duration), Samples: s.samples,
		Independent: d.flags&nonSync == 0,
	}
}

// parseMoof sums up the runs of a movie fragment (ISO 14496-12 8.8), by track. at is where
// the moof begins in its resource.
func parseMoof(p []byte, at int64) ([]share, error) {
	var tracks []share
	trafs := 0
	err := each(p, func(b box) error {
		if b.name != "traf" {
			return nil
		}
		t, err := parseTraf(b.body, at, trafs == 0)
		trafs++
		if err != nil || t.samples == 0 {
			return err
		}
		for i := range tracks {
			if have := &tracks[i]; have.track == t.track {
				have.told += t.told
				have.untold += t.untold
				have.samples += t.samples
				return nil
			}
		}
		if len(tracks) == maxTracks {
			return fmt.Errorf("more than %d tracks", maxTracks)
		}
		tracks = append(tracks, t)
		return nil
	})
	return tracks, err
}

// traf is a track fragment while it is read.
type traf struct {
	share
	duration, size, flags    uint32 // of samples that do not tell their own, where tfhd does
	hasDur, hasSize, hasFlag bool
	base                     int64 // what data offsets count from, from the moof's first byte
	based                    bool  // it is known
}

func parseTraf(p []byte, at int64, first bool) (share, error) {
	t := traf{based: first} // "the first track fragment in the movie fragment: the moof"
	err := each(p, func(b box) error {
		f := fields{p: b.body}
		switch b.name {
		case "tfhd":
			t.header(&f, at)
			return f.err()
		case "tfdt": // 8.8.12
			if version, _ := f.full(); version == 1 {
				t.share.base = f.u64()
			} else {
				t.share.base = uint64(f.u32())
			}
			return f.err()
		case "trun":
			return t.addRun(f)
		}
		return nil
	})
	if err == nil && t.track == 0 {
		err = fmt.Errorf("traf without track")
	}
	return t.share, err
}

// header reads 8.8.7.
func (t *traf) header(f *fields, at int64) {
	_, flags := f.full()
	t.track = f.u32()
	if flags&0x1 != 0 { // base_data_offset, from the beginning of the file
		offset := f.u64()
		t.base, t.based = int64(offset&(1<<62-1))-at, true
	} else if flags&0x20000 != 0 { // default-base-is-moof
		t.based = true
	}
	if flags&0x2 != 0 { // sample_description_index
		f.skip(4)
	}
	if t.hasDur = flags&0x8 != 0; t.hasDur {
		t.duration = f.u32()
	}
	if t.hasSize = flags&0x10 != 0; t.hasSize {
		t.size = f.u32()
	}
	if t.hasFlag = flags&0x20 != 0; t.hasFlag {
		t.flags = f.u32()
	}
}

// addRun reads 8.8.8.
func (t *traf) addRun(f fields) error {
	_, flags := f.full()
	n := f.u32()
	if n > maxRuns {
		return fmt.Errorf("%d samples, at most %d are read", n, maxRuns)
	}
	first := firstSample{flags: t.flags, flagged: t.hasFlag, size: t.size, sized: t.hasSize}
	if flags&0x1 != 0 { // data_offset, signed
		if offset := int64(int32(f.u32())); t.based {
			first.at = max(0, t.base+offset)
		}
	}
	if flags&0x4 != 0 {
		first.flags, first.flagged = f.u32(), true
	}
	var size, at int // bytes that a sample has, and where in them its flags are
	duration := flags&0x100 != 0
	if duration {
		size += 4
	}
	sizeAt := size
	if flags&0x200 != 0 {
		size += 4
	}
	at = size
	if flags&0x400 != 0 {
		size += 4
	}
	if flags&0x800 != 0 {
		size += 4
	}
	samples := fields{p: f.take(int(n) * size)}
	if f.bad {
		return errCut
	}
	if n == 0 {
		return nil
	}
	if flags&0x404 == 0x400 {
		own := fields{p: samples.p[at:]}
		first.flags, first.flagged = own.u32(), true
	}
	if flags&0x200 != 0 {
		own := fields{p: samples.p[sizeAt:]}
		first.size, first.sized = own.u32(), true
	}
	if t.samples == 0 {
		t.first = first
	}
	t.samples += int(n)
	switch {
	case duration:
		for range n {
			one := fields{p: samples.take(size)}
			t.told += uint64(one.u32())
		}
	case t.hasDur:
		t.told += uint64(n) * uint64(t.duration)
	default:
		t.untold += uint64(n)
	}
	return nil
}
