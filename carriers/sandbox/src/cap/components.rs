//! The components of the CAP file (JCVM chapter 6, one function a section).

use super::Applet;

/// One component: its name in the archive and its bytes, tag and size included.
pub(super) struct Component {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Component tags (JCVM Table 6-1 "CAP file component tags").
mod tag {
    pub(super) const HEADER: u8 = 1;
    pub(super) const DIRECTORY: u8 = 2;
    pub(super) const APPLET: u8 = 3;
    pub(super) const IMPORT: u8 = 4;
    pub(super) const CONSTANT_POOL: u8 = 5;
    pub(super) const CLASS: u8 = 6;
    pub(super) const METHOD: u8 = 7;
    pub(super) const STATIC_FIELD: u8 = 8;
    pub(super) const REFERENCE_LOCATION: u8 = 9;
    pub(super) const DESCRIPTOR: u8 = 11;
    /// Tags 1 to 12 have a size in the Directory Component.
    pub(super) const LAST: usize = 12;
}

/// AID of `javacard.framework`, and the version in which the tokens below are as used here.
const JAVACARD_FRAMEWORK: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x62, 0x01, 0x01];
const JAVACARD_FRAMEWORK_VERSION: [u8; 2] = [3, 1]; // minor, major
/// External class reference: package token 0 with the high bit set, class token 3 (`Applet` in the export file).
const CLASS_APPLET: [u8; 2] = [0x80, 0x03];
/// Static method token of `Applet()`; virtual method tokens of `Applet.register()` and `Applet.process(APDU)`.
const METHOD_APPLET_INIT: u8 = 0;
const METHOD_REGISTER: u8 = 1;
const METHOD_PROCESS: u8 = 7;
/// A class or method that nothing outside the package may name (JCVM §4.3.7).
const NO_TOKEN: u8 = 0xFF;

/// Offset of the class in the Class Component's info: after the empty signature pool.
const CLASS_OFFSET: u16 = 2;
/// Indices into the constant pool.
const POOL_APPLET_INIT: u8 = 0;
const POOL_REGISTER: u8 = 1;
const POOL_CLASS: u8 = 2;
const POOL_INIT: u8 = 3;

/// Byte codes (JCVM chapter 7).
mod op {
    pub(super) const ALOAD_0: u8 = 0x18;
    pub(super) const POP: u8 = 0x3B;
    pub(super) const DUP: u8 = 0x3D;
    pub(super) const RETURN: u8 = 0x7A;
    pub(super) const INVOKEVIRTUAL: u8 = 0x8B;
    pub(super) const INVOKESPECIAL: u8 = 0x8C;
    pub(super) const NEW: u8 = 0x8F;
}

/// The constructor: `super(); register();`. Header: max_stack 1; one argument, no local.
const INIT: [u8; 11] = [
    0x01,
    0x10,
    op::ALOAD_0,
    op::INVOKESPECIAL,
    0,
    POOL_APPLET_INIT,
    op::ALOAD_0,
    op::INVOKEVIRTUAL,
    0,
    POOL_REGISTER,
    op::RETURN,
];
/// `install`: `new UserAuthentication();`. Header: max_stack 2; three arguments, no local.
const INSTALL: [u8; 11] = [
    0x02,
    0x30,
    op::NEW,
    0,
    POOL_CLASS,
    op::DUP,
    op::INVOKESPECIAL,
    0,
    POOL_INIT,
    op::POP,
    op::RETURN,
];
/// `process`: nothing. Header: max_stack 0; two arguments, no local.
const PROCESS: [u8; 3] = [0x00, 0x20, op::RETURN];

/// Offsets of the methods in the Method Component's info: after the count of exception handlers.
const INIT_OFFSET: u16 = 1;
const INSTALL_OFFSET: u16 = INIT_OFFSET + INIT.len() as u16;
const PROCESS_OFFSET: u16 = INSTALL_OFFSET + INSTALL.len() as u16;

/// Every component; the order is that of loading (JCVM §6.2, Table 6-2), the Descriptor last.
pub(super) fn of(applet: &Applet) -> Vec<Component> {
    let component = |name, tag, info: Vec<u8>| Component { name, bytes: framed(tag, &info) };
    let mut components = vec![
        component("Header", tag::HEADER, header(applet)),
        component("Import", tag::IMPORT, import()),
        component("Applet", tag::APPLET, applets(applet)),
        component("Class", tag::CLASS, class()),
        component("Method", tag::METHOD, method()),
        component("StaticField", tag::STATIC_FIELD, vec![0; 10]),
        component("ConstantPool", tag::CONSTANT_POOL, constant_pool()),
        component("RefLocation", tag::REFERENCE_LOCATION, reference_location()),
        component("Descriptor", tag::DESCRIPTOR, descriptor()),
    ];
    let directory = component("Directory", tag::DIRECTORY, directory(&components));
    components.insert(1, directory);
    components
}

fn framed(tag: u8, info: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend((info.len() as u16).to_be_bytes());
    bytes.extend(info);
    bytes
}

fn length_and(aid: &[u8]) -> Vec<u8> {
    let mut bytes = vec![aid.len() as u8];
    bytes.extend(aid);
    bytes
}

/// JCVM §6.3: magic, CAP format 2.2, ACC_APPLET, the package (1.0) without a name.
fn header(applet: &Applet) -> Vec<u8> {
    let mut info = vec![0xDE, 0xCA, 0xFF, 0xED, 2, 2, 0x04, 0, 1];
    info.extend(length_and(applet.package.as_bytes()));
    info.push(0);
    info
}

/// JCVM §6.4: the sizes of all components, of the empty static field image, one import, one applet, nothing custom.
fn directory(components: &[Component]) -> Vec<u8> {
    const OWN_SIZE: u16 = 2 * tag::LAST as u16 + 6 + 3;
    let mut sizes = [0_u16; tag::LAST];
    sizes[usize::from(tag::DIRECTORY) - 1] = OWN_SIZE;
    for component in components {
        sizes[usize::from(component.bytes[0]) - 1] = component.bytes.len() as u16 - 3;
    }
    let mut info: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
    info.extend([0, 0, 0, 0, 0, 0, 1, 1, 0]);
    info
}

/// JCVM §6.5: one applet and the offset of its `install`.
fn applets(applet: &Applet) -> Vec<u8> {
    let mut info = vec![1];
    info.extend(length_and(applet.module.as_bytes()));
    info.extend(INSTALL_OFFSET.to_be_bytes());
    info
}

/// JCVM §6.6: one package.
fn import() -> Vec<u8> {
    let mut info = vec![1];
    info.extend(JAVACARD_FRAMEWORK_VERSION);
    info.extend(length_and(&JAVACARD_FRAMEWORK));
    info
}

/// JCVM §6.7: four entries of four bytes.
fn constant_pool() -> Vec<u8> {
    const CLASSREF: u8 = 1;
    const VIRTUAL_METHODREF: u8 = 3;
    const STATIC_METHODREF: u8 = 6;
    let [package, class] = CLASS_APPLET;
    let [class_high, class_low] = CLASS_OFFSET.to_be_bytes();
    let [init_high, init_low] = INIT_OFFSET.to_be_bytes();
    let mut info = vec![0, 4];
    info.extend([STATIC_METHODREF, package, class, METHOD_APPLET_INIT]);
    info.extend([VIRTUAL_METHODREF, package, class, METHOD_REGISTER]);
    info.extend([CLASSREF, class_high, class_low, 0]);
    info.extend([STATIC_METHODREF, 0, init_high, init_low]);
    info
}

/// JCVM §6.8: no signature pool; one class without fields that overrides `process`.
fn class() -> Vec<u8> {
    let mut info = vec![0, 0];
    info.push(0x00); // no flags, no interfaces
    info.extend(CLASS_APPLET);
    info.extend([0, NO_TOKEN, 0]); // instance size, first reference token, reference count
    info.extend([METHOD_PROCESS, 1]); // public virtual method table: base, count
    info.extend([0, 0]); // package virtual method table: base, count
    info.extend(PROCESS_OFFSET.to_be_bytes());
    info
}

/// JCVM §6.9: no exception handlers, three methods.
fn method() -> Vec<u8> {
    [&[0][..], &INIT, &INSTALL, &PROCESS].concat()
}

/// JCVM §6.11: no one-byte indices; four two-byte ones, each as its distance from the one before.
fn reference_location() -> Vec<u8> {
    let places = [INIT_OFFSET + 4, INIT_OFFSET + 8, INSTALL_OFFSET + 3, INSTALL_OFFSET + 7];
    let mut info = vec![0, 0, 0, places.len() as u8];
    let mut before = 0;
    for place in places {
        info.push((place - before) as u8);
        before = place;
    }
    info
}

/// JCVM §6.13: the class, its methods and the types of constant pool and methods. Never loaded onto an SE.
fn descriptor() -> Vec<u8> {
    const PUBLIC: u8 = 0x01;
    const STATIC: u8 = 0x08;
    const INIT_FLAG: u8 = 0x80;
    /// Offsets in the type descriptors: `()V`, `([BSB)V`, `(APDU)V`, after the table of the pool's types.
    const TYPE_NOTHING: u16 = 2 + 2 * 4;
    const TYPE_INSTALL: u16 = TYPE_NOTHING + 2;
    const TYPE_PROCESS: u16 = TYPE_INSTALL + 3;
    const NO_TYPE: u16 = 0xFFFF;

    let mut info = vec![1, NO_TOKEN, PUBLIC];
    info.extend(CLASS_OFFSET.to_be_bytes());
    info.extend([0, 0, 0, 0, 3]); // interfaces, fields, methods
    for (token, flags, offset, kind, length) in [
        (NO_TOKEN, INIT_FLAG, INIT_OFFSET, TYPE_NOTHING, INIT.len()),
        (NO_TOKEN, PUBLIC | STATIC, INSTALL_OFFSET, TYPE_INSTALL, INSTALL.len()),
        (METHOD_PROCESS, PUBLIC, PROCESS_OFFSET, TYPE_PROCESS, PROCESS.len()),
    ] {
        info.extend([token, flags]);
        info.extend(offset.to_be_bytes());
        info.extend(kind.to_be_bytes());
        info.extend((length as u16 - 2).to_be_bytes()); // byte codes without the method's header
        info.extend([0, 0, 0, 0]); // exception handlers: count, index
    }
    info.extend([0, 4]);
    for kind in [TYPE_NOTHING, TYPE_NOTHING, NO_TYPE, TYPE_NOTHING] {
        info.extend(kind.to_be_bytes());
    }
    // Count of nibbles, then the nibbles: 1 void, 3 byte, 4 short, 6 reference (package, class), B array of byte.
    info.extend([1, 0x10]);
    info.extend([4, 0xB4, 0x31]);
    info.extend([6, 0x68, 0x00, 0xA1]);
    info
}
