//! A workbook of one sheet, as the service's exports are: a ZIP archive of five parts of XML, none
//! of them compressed. Every cell is text.

use flate2::Crc;
use serde_json::{Map, Value};

/// Parts that are the same whatever the sheet holds.
const PARTS: [(&str, &str); 4] = [
    (
        "[Content_Types].xml",
        r#"<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>"#,
    ),
    (
        "_rels/.rels",
        r#"<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
    ),
    (
        "xl/workbook.xml",
        r#"<?xml version="1.0" encoding="UTF-8"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="records" sheetId="1" r:id="rId1"/></sheets></workbook>"#,
    ),
    (
        "xl/_rels/workbook.xml.rels",
        r#"<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
    ),
];

/// The workbook: a line of names, then one a row.
pub fn workbook(rows: &[Map<String, Value>]) -> Vec<u8> {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(Map::keys) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut sheet = String::from(
        r#"<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>"#,
    );
    line(&mut sheet, names.iter().copied());
    for row in rows {
        let cells: Vec<String> = names.iter().map(|name| text(row.get(*name))).collect();
        line(&mut sheet, cells.iter().map(String::as_str));
    }
    sheet.push_str("</sheetData></worksheet>");
    let mut archive = Archive::default();
    for (name, part) in PARTS {
        archive.add(name, part.as_bytes());
    }
    archive.add("xl/worksheets/sheet1.xml", sheet.as_bytes());
    archive.finish()
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    }
}

fn line<'c>(sheet: &mut String, cells: impl Iterator<Item = &'c str>) {
    sheet.push_str("<row>");
    for cell in cells {
        sheet.push_str(r#"<c t="inlineStr"><is><t xml:space="preserve">"#);
        for c in cell.chars() {
            match c {
                '&' => sheet.push_str("&amp;"),
                '<' => sheet.push_str("&lt;"),
                '>' => sheet.push_str("&gt;"),
                // XML has no other control characters.
                '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                    sheet.push('\u{fffd}');
                }
                c => sheet.push(c),
            }
        }
        sheet.push_str("</t></is></c>");
    }
    sheet.push_str("</row>");
}

/// A ZIP archive of parts that are stored as they are.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    parts: u16,
}

impl Archive {
    fn add(&mut self, name: &str, part: &[u8]) {
        let mut crc = Crc::new();
        crc.update(part);
        let at = size(self.bytes.len());
        let mut head = Vec::new();
        // Version 2.0, no flags, stored, 1980-01-01.
        for word in [20_u16, 0, 0, 0, 0x21] {
            head.extend(word.to_le_bytes());
        }
        for word in [crc.sum(), size(part.len()), size(part.len())] {
            head.extend(word.to_le_bytes());
        }
        head.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        head.extend(0_u16.to_le_bytes());
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&head);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(part);
        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(20_u16.to_le_bytes());
        self.directory.extend(&head);
        // No comment, first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.parts += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let at = size(self.bytes.len());
        self.bytes.extend(&self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        for count in [self.parts, self.parts] {
            self.bytes.extend(count.to_le_bytes());
        }
        for word in [size(self.directory.len()), at] {
            self.bytes.extend(word.to_le_bytes());
        }
        self.bytes.extend([0, 0]);
        self.bytes
    }
}

/// Sizes of an archive have 32 bits; what is exported has a bound far below.
fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_workbook_holds_every_name_and_every_cell_as_text() {
        let row = |value: Value| value.as_object().cloned().unwrap();
        let rows = [
            row(json!({"id": "1", "user_name": "<ana> & \u{1}bob"})),
            row(json!({"id": "2", "e2e_rtt": 20, "end_time": null})),
        ];
        let bytes = workbook(&rows);
        assert!(bytes.starts_with(b"PK\x03\x04"));
        let text = String::from_utf8_lossy(&bytes);
        let cells: Vec<&str> = text
            .split(r#"<t xml:space="preserve">"#)
            .skip(1)
            .map(|rest| rest.split("</t>").next().unwrap())
            .collect();
        let names = ["id", "user_name", "e2e_rtt", "end_time"];
        let lines = ["1", "&lt;ana&gt; &amp; \u{fffd}bob", "", "", "2", "", "20", ""];
        assert_eq!(cells, [&names[..], &lines[..]].concat());
    }
}
