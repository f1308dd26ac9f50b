package cmaf

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"
)

// describe reads stsd (ISO 14496-12 8.5.2): the codec, and what its configuration says. Of
// several descriptions the first counts; CMAF has one. Only decoder configuration boxes are
// handed to mp4ff, one at a time: what surrounds them is read here, with its bounds.
func (t *Track) describe(stsd []byte) error {
	f := fields{p: stsd}
	f.full()
	if f.u32() == 0 || f.bad {
		return errors.New("no sample description")
	}
	entry, _, err := next(f.p)
	if err != nil {
		return fmt.Errorf("sample description: %w", err)
	}
	if !plain([]byte(entry.name)) {
		return fmt.Errorf("sample description: %q is no type", entry.name)
	}
	t.Codec = entry.name
	skip := 0 // to the boxes within
	switch t.Kind {
	case Video: // 12.1.3
		f := fields{p: entry.body}
		f.skip(24)
		t.Width, t.Height = int(f.u16()), int(f.u16())
		skip = 78
	case Audio: // 12.2.3; QuickTime has versions 1 and 2 with more fields
		f := fields{p: entry.body}
		f.skip(8)
		switch f.u16() {
		case 1:
			skip = 44
		case 2:
			skip = 64
		default:
			skip = 28
		}
		f.skip(6)
		t.Channels = int(f.u16())
		f.skip(6)
		t.SampleRate = int(f.u32() >> 16)
	default:
		if entry.name == "stpp" {
			t.Codec = "stpp.ttml.im1t" // IMSC1, text profile
		}
		t.Config = append([]byte(entry.name), entry.body[:min(len(entry.body), maxConfig)]...)
		return nil
	}
	if len(entry.body) < skip {
		return fmt.Errorf("sample description %q: %w", entry.name, errCut)
	}
	t.Config = []byte(entry.name)
	children := entry.body[skip:]
	if entry.name == "encv" || entry.name == "enca" {
		if original := originalFormat(children); original != "" {
			t.Codec = original
		}
	}
	return each(children, func(b box) error { return t.configure(b) })
}

// originalFormat finds sinf/frma (8.12) of an encrypted sample entry.
func originalFormat(children []byte) (name string) {
	_ = each(children, func(b box) error {
		if b.name != "sinf" {
			return nil
		}
		return each(b.body, func(b box) error {
			if b.name == "frma" && len(b.body) == 4 && plain(b.body) {
				name = string(b.body)
			}
			return nil
		})
	})
	return name
}

func plain(p []byte) bool {
	for _, c := range p {
		if c < 0x20 || c >= 0x7f || c == '"' || c == ',' {
			return false
		}
	}
	return true
}

// configure reads one decoder configuration box. What mp4ff cannot read leaves the codec
// string bare rather than the stream unpublished.
func (t *Track) configure(b box) error {
	switch b.name {
	case "avcC", "hvcC", "av1C", "vpcC", "esds", "dac3", "dec3", "dOps", "dfLa", "dvcC", "dvvC":
	default:
		return nil
	}
	if len(b.body) > maxConfig {
		return fmt.Errorf("%d bytes, at most %d are read", len(b.body), maxConfig)
	}
	if b.name != "esds" { // its bit rates may differ from one run to the next
		t.Config = append(append(t.Config, b.name...), b.body...)
	}
	decoded, err := decodeConfig(b)
	if err != nil {
		if b.name == "esds" {
			t.Config = append(append(t.Config, b.name...), b.body...)
		}
		return nil
	}
	switch c := decoded.(type) {
	case *mp4.AvcCBox:
		t.Codec = fmt.Sprintf("%s.%02x%02x%02x", t.Codec, c.AVCProfileIndication, c.ProfileCompatibility, c.AVCLevelIndication)
		if len(c.SPSnalus) > 0 {
			t.parameters(H264(c.SPSnalus[0]))
		}
	case *mp4.HvcCBox:
		t.Codec = hevc.CodecString(t.Codec, &hevc.SPS{ProfileTierLevel: hevc.ProfileTierLevel{
			GeneralProfileSpace: c.GeneralProfileSpace, GeneralTierFlag: c.GeneralTierFlag, GeneralProfileIDC: c.GeneralProfileIDC,
			GeneralProfileCompatibilityFlags: c.GeneralProfileCompatibilityFlags,
			GeneralConstraintIndicatorFlags:  c.GeneralConstraintIndicatorFlags, GeneralLevelIDC: c.GeneralLevelIDC,
		}})
		if sps := c.GetNalusForType(hevc.NALU_SPS); len(sps) > 0 {
			t.parameters(H265(sps[0]))
		}
	case *mp4.DoViConfigurationBox:
		if t.Codec == "dvh1" || t.Codec == "dvhe" || t.Codec == "dvav" || t.Codec == "dva1" {
			t.Codec = fmt.Sprintf("%s.%02d.%02d", t.Codec, c.DVProfile, c.DVLevel)
		}
	case *mp4.Av1CBox:
		t.Codec = c.CodecString(t.Codec)
	case *mp4.VppCBox:
		t.Codec = fmt.Sprintf("%s.%02d.%02d.%02d", t.Codec, c.Profile, c.Level, c.BitDepth)
	case *mp4.EsdsBox:
		t.mpegAudio(c)
	case *mp4.DopsBox:
		t.Channels, t.SampleRate = int(c.OutputChannelCount), 48000 // RFC 7845 4: always decoded at 48 kHz
	case *mp4.Dac3Box:
		t.Channels, _ = c.ChannelInfo()
	case *mp4.Dec3Box:
		if len(c.EC3Subs) > 0 {
			t.Channels, _ = c.ChannelInfo()
		}
	}
	return nil
}

// parameters takes what a sequence parameter set says, if it says it.
func (t *Track) parameters(_ string, w, h int, fps float64, err error) {
	if err != nil {
		return
	}
	t.Width, t.Height, t.FrameRate = w, h, fps
}

// mpegAudio reads an elementary stream descriptor (ISO 14496-1 7.2.6).
func (t *Track) mpegAudio(esds *mp4.EsdsBox) {
	d := esds.DecConfigDescriptor
	if d == nil || t.Codec != "mp4a" {
		return
	}
	var config []byte
	if d.DecSpecificInfo != nil {
		config = d.DecSpecificInfo.DecConfig
	}
	t.Config = append(append(t.Config, "esds"...), d.ObjectType)
	t.Config = append(t.Config, config...)
	if d.ObjectType != 0x40 || len(config) == 0 {
		// RFC 6381 3.3: the object type indication, in hexadecimal.
		t.Codec = fmt.Sprintf("mp4a.%02X", d.ObjectType)
		return
	}
	object, rate, channels := AudioConfig(config)
	t.Codec = fmt.Sprintf("mp4a.40.%d", object)
	if rate > 0 {
		t.SampleRate = rate
	}
	if channels > 0 {
		t.Channels = channels
	}
}

// decodeConfig has mp4ff read one box, and survives whatever that does.
func decodeConfig(b box) (decoded mp4.Box, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser panicked: %v", r)
		}
	}()
	var whole bytes.Buffer
	if err := mp4.EncodeHeaderWithSize(b.name, uint64(8+len(b.body)), false, &whole); err != nil {
		return nil, err
	}
	whole.Write(b.body)
	return mp4.DecodeBoxSR(0, bits.NewFixedSliceReader(whole.Bytes()))
}
