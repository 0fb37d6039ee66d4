/* A model package linked into the image, at the address where one is otherwise injected. */
    .section .model, "a"
    .balign 16
    .incbin EMBEDDED_PACKAGE
