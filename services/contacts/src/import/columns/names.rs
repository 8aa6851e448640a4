//! What people call columns, in many languages.

/// What a column may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Phone,
    Name,
    FirstName,
    LastName,
    Tags,
}

/// In the order of preference: `whatsapp` is it, whatever else there is.
const PHONE: &[&str] = &[
    "whatsapp",
    "whatsapp number",
    "whatsapp phone",
    "wa id",
    "wa number",
    "nomor whatsapp",
    "no whatsapp",
    "número de whatsapp",
    "numero de whatsapp",
    "numero whatsapp",
    "phone",
    "phone number",
    "phone no",
    "mobile phone",
    "mobile",
    "mobile number",
    "mobile no",
    "cell phone",
    "cellphone",
    "cell",
    "cell number",
    "msisdn",
    "e164",
    "contact number",
    "phone 1 value",
    "primary phone",
    "tel",
    "telephone",
    "telephone number",
    "handy",
    "handynummer",
    "mobil",
    "mobilnummer",
    "mobiltelefon",
    "rufnummer",
    "telefonnummer",
    "telefon",
    "celular",
    "número de celular",
    "numero de celular",
    "móvil",
    "movil",
    "teléfono móvil",
    "telefono movil",
    "teléfono",
    "telefono",
    "número de teléfono",
    "numero de telefono",
    "telemóvel",
    "telemovel",
    "telefone",
    "telefone celular",
    "portable",
    "téléphone portable",
    "téléphone",
    "numéro de téléphone",
    "numéro",
    "cellulare",
    "telefono cellulare",
    "numero di telefono",
    "mobiel",
    "telefoonnummer",
    "telefoon",
    "komórka",
    "telefon komórkowy",
    "numer telefonu",
    "mobilní telefon",
    "cep telefonu",
    "cep",
    "telefon numarası",
    "телефон",
    "номер телефона",
    "мобильный",
    "мобильный телефон",
    "номер",
    "手机",
    "手机号",
    "手机号码",
    "电话",
    "电话号码",
    "電話",
    "電話番号",
    "携帯電話",
    "携帯番号",
    "전화번호",
    "휴대폰",
    "휴대폰 번호",
    "هاتف",
    "رقم الهاتف",
    "الجوال",
    "جوال",
    "फ़ोन",
    "फोन",
    "मोबाइल",
    "मोबाइल नंबर",
    "फोन नंबर",
    "nomor hp",
    "no hp",
    "nomor telepon",
    "telepon",
    "handphone",
    "số điện thoại",
    "điện thoại",
    "เบอร์โทร",
    "โทรศัพท์",
    "טלפון",
    "נייד",
    "number",
    "nummer",
    "numero",
    "número",
];

const NAME: &[&str] = &[
    "name",
    "full name",
    "fullname",
    "contact name",
    "contact",
    "display name",
    "customer name",
    "customer",
    "kunde",
    "kundenname",
    "vollständiger name",
    "nombre completo",
    "nombre y apellido",
    "nome completo",
    "nom complet",
    "nom et prénom",
    "nome e cognome",
    "volledige naam",
    "naam",
    "imię i nazwisko",
    "ad soyad",
    "имя и фамилия",
    "фио",
    "имя",
    "姓名",
    "名字",
    "名前",
    "氏名",
    "이름",
    "성명",
    "الاسم",
    "الاسم الكامل",
    "नाम",
    "पूरा नाम",
    "nama",
    "nama lengkap",
    "họ và tên",
    "họ tên",
    "tên",
    "ชื่อ",
    "שם",
    "nombre",
    "nome",
    "nom",
];

const FIRST_NAME: &[&str] = &[
    "first name",
    "firstname",
    "given name",
    "forename",
    "vorname",
    "primer nombre",
    "nombres",
    "prénom",
    "prenom",
    "primeiro nome",
    "voornaam",
    "imię",
    "ad",
];

const LAST_NAME: &[&str] = &[
    "last name",
    "lastname",
    "surname",
    "family name",
    "nachname",
    "familienname",
    "apellido",
    "apellidos",
    "nom de famille",
    "sobrenome",
    "apelido",
    "cognome",
    "achternaam",
    "nazwisko",
    "soyad",
    "soyadı",
    "фамилия",
];

const TAGS: &[&str] = &[
    "tags",
    "tag",
    "labels",
    "label",
    "groups",
    "group",
    "group membership",
    "segment",
    "segments",
    "schlagworte",
    "schlagwörter",
    "etiquetas",
    "etiqueta",
    "étiquettes",
    "etichette",
    "теги",
    "метки",
    "标签",
    "タグ",
    "태그",
];

/// Columns of an export that an import does not write: the first of them tells an export.
pub(super) const OF_EXPORTS: [&str; 6] =
    ["contact_id", "user_id", "source", "opted_out_at", "created_at", "updated_at"];

/// What a cell of a spreadsheet shows instead of a value.
const ERRORS: [&str; 8] =
    ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#GETTING_DATA"];

/// A header without what makes no difference: case, dots, dashes, underscores, marks.
pub(super) fn normal(header: &str) -> String {
    let header = header.trim_start_matches('\u{feff}').to_lowercase();
    let plain =
        |c: char| !matches!(c, '_' | '-' | '.' | ':' | '#' | '*' | '(' | ')') && !c.is_whitespace();
    header.split(|c| !plain(c)).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The first column that means this, by the order of preference.
pub(super) fn column(headers: &[String], meaning: Meaning) -> Option<usize> {
    let known = match meaning {
        Meaning::Phone => PHONE,
        Meaning::Name => NAME,
        Meaning::FirstName => FIRST_NAME,
        Meaning::LastName => LAST_NAME,
        Meaning::Tags => TAGS,
    };
    let headers: Vec<String> = headers.iter().map(|header| normal(header)).collect();
    known.iter().find_map(|name| headers.iter().position(|header| header == name))
}

/// First and last name where both are there, else the name.
pub(super) fn name_columns(headers: &[String]) -> Vec<usize> {
    let of = |meaning| column(headers, meaning);
    let whole = of(Meaning::Name);
    match (of(Meaning::FirstName), of(Meaning::LastName)) {
        (Some(first), Some(last)) => vec![first, last],
        // "Nombre" and "Apellidos", "Nom" and "Prénom".
        (Some(first), None) => vec![first].into_iter().chain(whole).collect(),
        (None, Some(last)) => whole.into_iter().chain([last]).collect(),
        (None, None) => whole.into_iter().collect(),
    }
}

pub(super) fn is_error(cell: &str) -> bool {
    ERRORS.contains(&cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn the_column_of_numbers_is_found_in_many_languages() {
        for (line, expected) in [
            ("Name,Phone", Some(1)),
            ("name,PHONE_NUMBER", Some(1)),
            ("Vorname,Nachname,Handynummer", Some(2)),
            ("Nombre,Teléfono móvil", Some(1)),
            ("Nome,Celular", Some(1)),
            ("Nom,Téléphone", Some(1)),
            ("Имя,Телефон", Some(1)),
            ("姓名,手机号", Some(1)),
            ("الاسم,رقم الهاتف", Some(1)),
            ("Nama,Nomor HP", Some(1)),
            ("Tel.,WhatsApp", Some(1)),
            ("Given Name,Phone 1 - Value", Some(1)),
            ("Name,E-mail", None),
        ] {
            assert_eq!(column(&headers(line), Meaning::Phone), expected, "{line}");
        }
    }

    #[test]
    fn first_and_last_name_make_a_name() {
        for (line, expected) in [
            ("Phone,Name", vec![1]),
            ("Phone,First Name,Last Name", vec![1, 2]),
            ("Nachname,Vorname,Handy", vec![1, 0]),
            ("Teléfono,Nombre,Apellidos", vec![1, 2]),
            ("Téléphone,Nom,Prénom", vec![2, 1]),
            ("Phone", vec![]),
        ] {
            assert_eq!(name_columns(&headers(line)), expected, "{line}");
        }
    }
}
