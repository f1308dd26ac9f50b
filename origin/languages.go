package origin

import "strings"

// language turns what encoders write (ISO 639-2, of both kinds: FFmpeg's language:ger) into
// the tag that HLS asks for (RFC 5646: the shortest code there is), and the name the language
// has for itself, for menus. Any other tag stays as it is, without a name.
func language(code string) (tag, name string) {
	base, rest, more := strings.Cut(code, "-")
	for line := range strings.Lines(languages) {
		f := strings.Fields(line)
		for _, c := range strings.Split(f[0], ",") {
			if !strings.EqualFold(c, base) {
				continue
			}
			if tag = f[0][:2]; more {
				return tag + "-" + rest, strings.Join(f[1:], " ") + " (" + rest + ")"
			}
			return tag, strings.Join(f[1:], " ")
		}
	}
	return code, ""
}

// languages are those with speakers enough to be met: the ISO 639-1 code and those of
// ISO 639-2, and the name.
const languages = `ar,ara العربية
bg,bul български
bn,ben বাংলা
ca,cat Català
cs,ces,cze Čeština
cy,cym,wel Cymraeg
da,dan Dansk
de,deu,ger Deutsch
el,ell,gre Ελληνικά
en,eng English
es,spa Español
et,est Eesti
eu,eus,baq Euskara
fa,fas,per فارسی
fi,fin Suomi
fr,fra,fre Français
ga,gle Gaeilge
gl,glg Galego
he,heb עברית
hi,hin हिन्दी
hr,hrv Hrvatski
hu,hun Magyar
hy,hye,arm Հայերեն
id,ind Bahasa Indonesia
is,isl,ice Íslenska
it,ita Italiano
ja,jpn 日本語
ka,kat,geo ქართული
kk,kaz Қазақ
ko,kor 한국어
lt,lit Lietuvių
lv,lav Latviešu
mk,mkd,mac Македонски
ms,msa,may Bahasa Melayu
mt,mlt Malti
nl,nld,dut Nederlands
no,nor Norsk
pl,pol Polski
pt,por Português
ro,ron,rum Română
ru,rus Русский
sk,slk,slo Slovenčina
sl,slv Slovenščina
sq,sqi,alb Shqip
sr,srp Српски
sv,swe Svenska
ta,tam தமிழ்
te,tel తెలుగు
th,tha ไทย
tr,tur Türkçe
uk,ukr Українська
ur,urd اردو
vi,vie Tiếng Việt
zh,zho,chi 中文
`
