//! How a connection to PostgreSQL is protected, and which server of several it leads to, in libpq's words: what the configuration
//! reads, and the store acts on.

choice! {
    /// How far the connection is protected, in libpq's words.
    SslMode {
        /// Never TLS.
        Disable = "disable",
        /// TLS only if the server insists.
        Allow = "allow",
        /// TLS if the server can, plain text otherwise.
        Prefer = "prefer",
        /// TLS, with any certificate.
        Require = "require",
        /// TLS, with a certificate of a known authority.
        VerifyCa = "verify-ca",
        /// As before, and in the name of the host.
        VerifyFull = "verify-full",
    }
}

choice! {
    /// Which server of several is taken.
    TargetSessionAttrs {
        /// The first that answers.
        Any = "any",
        /// One that accepts writes (`primary` means the same here).
        ReadWrite = "read-write",
        /// One that refuses writes (`standby` means the same here).
        ReadOnly = "read-only",
    }
}
