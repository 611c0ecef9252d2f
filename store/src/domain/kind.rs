//! The domains by name and number.

/// Number of a domain in files; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum DomainKind {
    /// Whole steps from the smallest key.
    Integer = 1,
    /// Decimal fractions on a power-of-ten grid.
    Decimal = 2,
    /// Decimal fractions with a correction in representable floats.
    Ulp = 3,
    /// Total-order bits of floats.
    Float = 4,
    /// Sorted distinct keys.
    Dictionary = 5,
    /// False and true.
    Boolean = 6,
    /// Decimal fractions with the last digit apart.
    Digit = 7,
    /// Decimal fractions that went through a 32-bit float.
    Single = 8,
    /// Total-order bits of floats on a coarse grid, within a stated error.
    Bounded = 9,
}

impl DomainKind {
    /// All domains, for tests and benches that walk them.
    pub const ALL: [DomainKind; 9] = [
        DomainKind::Integer,
        DomainKind::Decimal,
        DomainKind::Ulp,
        DomainKind::Float,
        DomainKind::Dictionary,
        DomainKind::Boolean,
        DomainKind::Digit,
        DomainKind::Single,
        DomainKind::Bounded,
    ];

    /// Domain with this number, if there is one.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == code)
    }

    /// Name as `silt stat` prints it.
    pub fn name(self) -> &'static str {
        match self {
            DomainKind::Integer => "integer",
            DomainKind::Decimal => "decimal",
            DomainKind::Ulp => "ulp",
            DomainKind::Float => "float",
            DomainKind::Dictionary => "dictionary",
            DomainKind::Boolean => "boolean",
            DomainKind::Digit => "digit",
            DomainKind::Single => "single",
            DomainKind::Bounded => "bounded",
        }
    }

    /// Whether the domain may leave values to exceptions.
    pub(crate) fn has_exceptions(self) -> bool {
        self.has_grid() || self == DomainKind::Bounded
    }

    /// Whether codes stand for decimal fractions.
    pub(crate) fn has_grid(self) -> bool {
        matches!(
            self,
            DomainKind::Decimal | DomainKind::Ulp | DomainKind::Digit | DomainKind::Single
        )
    }
}
