package cmaf

import "fmt"

// nonSync is sample_is_non_sync_sample (ISO 14496-12 8.8.3.1).
const nonSync = 1 << 16

// parseMoof sums up the runs of a movie fragment (ISO 14496-12 8.8), by track.
func parseMoof(p []byte, init *Init) ([]Timing, error) {
	var tracks []Timing
	err := each(p, func(b box) error {
		if b.name != "traf" {
			return nil
		}
		t, err := parseTraf(b.body, init)
		if err != nil || t.Samples == 0 {
			return err
		}
		for i := range tracks {
			if tracks[i].TrackID == t.TrackID {
				tracks[i].Duration += t.Duration
				tracks[i].Samples += t.Samples
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

func parseTraf(p []byte, init *Init) (Timing, error) {
	var t Timing
	var d defaults
	err := each(p, func(b box) error {
		f := fields{p: b.body}
		switch b.name {
		case "tfhd": // 8.8.7
			_, flags := f.full()
			t.TrackID = f.u32()
			d = init.defaultsOf(t.TrackID)
			if flags&0x1 != 0 { // base_data_offset
				f.skip(8)
			}
			if flags&0x2 != 0 { // sample_description_index
				f.skip(4)
			}
			if flags&0x8 != 0 {
				d.duration = f.u32()
			}
			if flags&0x10 != 0 { // default_sample_size
				f.skip(4)
			}
			if flags&0x20 != 0 {
				d.flags = f.u32()
			}
			return f.err()
		case "tfdt": // 8.8.12
			if version, _ := f.full(); version == 1 {
				t.BaseTime = f.u64()
			} else {
				t.BaseTime = uint64(f.u32())
			}
			return f.err()
		case "trun":
			return t.addRun(f, d)
		}
		return nil
	})
	if err == nil && t.TrackID == 0 {
		err = fmt.Errorf("traf without track")
	}
	return t, err
}

// addRun reads 8.8.8.
func (t *Timing) addRun(f fields, d defaults) error {
	_, flags := f.full()
	n := f.u32()
	if n > maxRuns {
		return fmt.Errorf("%d samples, at most %d are read", n, maxRuns)
	}
	if flags&0x1 != 0 { // data_offset
		f.skip(4)
	}
	first := d.flags
	if flags&0x4 != 0 {
		first = f.u32()
	}
	var size, at int // bytes that a sample has, and where in them its flags are
	duration := flags&0x100 != 0
	if duration {
		size += 4
	}
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
		first = own.u32()
	}
	if t.Samples == 0 {
		t.Independent = first&nonSync == 0
	}
	t.Samples += int(n)
	if !duration {
		t.Duration += uint64(n) * uint64(d.duration)
		return nil
	}
	for range n {
		one := fields{p: samples.take(size)}
		t.Duration += uint64(one.u32())
	}
	return nil
}
